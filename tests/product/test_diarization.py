"""Windows whose voices are known by construction."""

from itertools import pairwise

import numpy as np
import pytest

from whosings.diarization import diarize, spans
from whosings.spans import Span, joined

WINDOW_S, HOP_S = 2.0, 0.5
VOICES = np.random.default_rng(3).standard_normal((6, 192))


def windows_of(turns, seed=0, noise=0.9):
    """Windows and starts of (voice, seconds) in order; a window over a change is a mixture of both."""
    edges = np.cumsum([0.0, *(seconds for _, seconds in turns)])
    starts = np.arange(0.0, edges[-1] - WINDOW_S + 1e-6, HOP_S)
    rng = np.random.default_rng(seed)
    rows = []
    for start in starts:
        shares = [max(0.0, min(start + WINDOW_S, stop) - max(start, begin)) for begin, stop in pairwise(edges)]
        mixed = sum(share * VOICES[voice] for share, (voice, _) in zip(shares, turns, strict=True)) / WINDOW_S
        rows.append(mixed + noise * rng.standard_normal(192))
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), starts


def true_labels(turns, starts):
    edges = np.cumsum([seconds for _, seconds in turns])
    return np.array([turns[int(np.searchsorted(edges, start + WINDOW_S / 2, "right"))][0] for start in starts])


@pytest.mark.parametrize(
    "turns",
    [
        [(0, 60)],
        [(0, 20), (1, 20)],
        [(0, 5), (1, 5)] * 4,
        [(0, 30), (1, 12), (2, 18), (0, 10)],
        [(0, 7), (1, 7), (2, 7), (3, 7), (4, 7), (5, 7)] * 2,
    ],
)
def test_each_voice_has_its_windows(turns):
    vectors, starts = windows_of(turns)
    found = diarize(vectors, starts, WINDOW_S, HOP_S)
    true = true_labels(turns, starts)
    assert len(found) == len(np.unique(true))
    assert sorted(np.concatenate([voice.places for voice in found])) == list(range(len(starts)))
    assert [len(voice.places) for voice in found] == sorted((len(voice.places) for voice in found), reverse=True)
    wrong = sum((true[voice.places] != np.bincount(true[voice.places]).argmax()).sum() for voice in found)
    assert wrong <= len(turns)  # half a second at a change
    for voice in found:  # clear windows have no other voice in them at all
        (singer,) = set(true[voice.clear])
        assert (vectors[voice.clear] @ VOICES[singer] / np.linalg.norm(VOICES[singer])).min() > 0.5


def test_a_rest_is_no_change():
    vectors, starts = windows_of([(0, 40)])
    kept = (starts < 10) | (starts > 25)
    (voice,) = diarize(vectors[kept], starts[kept], WINDOW_S, HOP_S)
    assert len(voice.clear) == kept.sum()
    assert spans(starts[kept], voice.places, WINDOW_S, HOP_S) == (Span(0, 11.5), Span(25.5, 40))


def test_a_shout_is_not_a_voice():
    """Less than three seconds of somebody else are given to the voice that is most like them."""
    vectors, starts = windows_of([(0, 20), (1, 1.5), (0, 20)])
    assert len(diarize(vectors, starts, WINDOW_S, HOP_S)) == 1


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_windows(count):
    vectors, starts = windows_of([(0, 20)])
    found = diarize(vectors[:count], starts[:count], WINDOW_S, HOP_S)
    assert [len(voice.places) for voice in found] == ([count] if count else [])
    assert spans(starts[:0], np.zeros(0, np.intp), WINDOW_S, HOP_S) == ()


def test_where_voices_change_no_moment_is_lost_or_double():
    starts = np.arange(0, 10.1, HOP_S)
    first, second = np.arange(9), np.arange(9, len(starts))
    (one,), (other,) = (spans(starts, places, WINDOW_S, HOP_S) for places in (first, second))
    assert (one.start_s, other.stop_s) == (0, 12) and one.stop_s == other.start_s == 4 + WINDOW_S / 2 + HOP_S / 2


def test_a_concert_is_clustered_part_by_part(monkeypatch):
    """A voice that comes back in another part of a long recording is the same voice."""
    monkeypatch.setattr("whosings.diarization._MOST", 100)
    turns = [(0, 40), (1, 40), (0, 40), (2, 40), (1, 40)]
    vectors, starts = windows_of(turns)
    found = diarize(vectors, starts, WINDOW_S, HOP_S)
    true = true_labels(turns, starts)
    assert len(found) == 3
    assert sum((true[voice.places] != np.bincount(true[voice.places]).argmax()).sum() for voice in found) <= 5


def test_a_voice_that_changes_somewhat_stays_one():
    """A chorus that differs from the verses, as harmonies and effects make it."""
    rng = np.random.default_rng(5)
    changed = VOICES[0] + 0.5 * np.linalg.norm(VOICES[0]) * VOICES[5] / np.linalg.norm(VOICES[5])
    rows = np.concatenate([np.tile(VOICES[0], (60, 1)), np.tile(changed, (40, 1)), np.tile(VOICES[0], (60, 1))])
    rows = (rows + 0.6 * rng.standard_normal(rows.shape)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert len(diarize(rows, np.arange(160) * HOP_S, WINDOW_S, HOP_S)) == 1


def test_stretches_that_touch_are_one():
    parts = [Span(8, 9), Span(0, 2), Span(2, 5), Span(4, 4.5), Span(8, 8.5)]
    assert joined(parts) == (Span(0, 5), Span(8, 9)) and joined(()) == ()
