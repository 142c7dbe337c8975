"""Matching in blocks gives the answers that naming one track after another gives."""

from dataclasses import replace

import numpy as np
import pytest

from tests.product.test_identification import DIMENSIONS, KNOWN, PRINT, calibrated
from whosings.answer import Answer, Verdict
from whosings.enrolled import Voices
from whosings.errors import GalleryError
from whosings.heard import HeardTrack, HeardVoice
from whosings.identification import Identifier
from whosings.library.library_file import Library
from whosings.library.library_rows import LibraryFile
from whosings.library.matching import Matcher
from whosings.opinion_rows import Opinion
from whosings.spans import Span


class EnrolledVoices:
    """What an identifier asks a gallery for, without a file: 1,500 singers take half a minute to enrol."""

    path, head, rates, fingerprint = "made", None, None, PRINT

    def __init__(self, singers: int) -> None:
        rng = np.random.default_rng(3)
        vectors = rng.standard_normal((singers, DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        names = tuple(f"singer {number:04d}" for number in range(singers))
        self.voices = Voices(names, vectors, rng.integers(1, 30, singers).astype(np.float64))

    def refuse_other(self, fingerprint: str, encoder: str = "") -> None:
        if fingerprint != PRINT:
            raise GalleryError(self.path, "was made with another encoder", "name that one")


def voice(*parts: np.ndarray, noise: float, rng: np.random.Generator) -> HeardVoice:
    """What is heard of somebody, or of several at once."""
    mean = sum(parts) / len(parts) + noise * rng.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
    ends = np.sort(rng.uniform(0, 200, 4)).tolist()
    spans = (Span(*ends[:2]), Span(*ends[2:]))
    mean = (0.9 * mean / np.linalg.norm(mean)).astype(np.float32)
    return HeardVoice(mean, float(rng.uniform(0.5, 40)), spans, sum(span.stop_s - span.start_s for span in spans))


def tracks(enrolled: np.ndarray, count: int) -> list[HeardTrack]:
    """Songs of enrolled singers and of strangers: of one voice, of several, of two at once, of none."""
    rng = np.random.default_rng(8)

    def somebody() -> np.ndarray:
        if rng.random() < 0.4:
            stranger = rng.standard_normal(DIMENSIONS)
            return stranger / np.linalg.norm(stranger)
        return enrolled[rng.integers(len(enrolled))]

    found = []
    for number in range(count):
        kind = number % 5
        noise = float(rng.choice([0.2, 0.8, 1.6]))
        if kind < 2:
            voices = [voice(somebody(), noise=noise, rng=rng)]
        elif kind == 2:
            voices = [voice(somebody(), somebody(), noise=0.1, rng=rng)]
        else:
            # None in every fifth; up to six, so that more are named than a block keeps besides.
            voices = [voice(somebody(), noise=noise, rng=rng) for _ in range(rng.integers(2, 7) * (kind == 3))]
        opinion = Opinion(0.5, 0.1, 0.9, 12) if number % 2 else None
        found.append(HeardTrack(f"{number}.mp3", tuple(voices), 200.0, 60.0, False, PRINT, opinion))
    return found


def same(one: Answer, other: Answer) -> None:
    """All words equal, numbers to what single precision gives."""
    assert replace(one, top=(), voices=(), timeline=(), unknown_probability=0) == replace(
        other, top=(), voices=(), timeline=(), unknown_probability=0
    )
    assert one.unknown_probability == pytest.approx(other.unknown_probability, abs=1e-4)
    for name, words in (
        ("voices", ("singer", "outcome", "seconds", "spans", "together")),
        ("timeline", ("start_s", "duration_s", "singer")),
        ("top", ("singer", "share")),
    ):
        for left, right in zip(getattr(one, name), getattr(other, name), strict=True):
            assert [getattr(left, word) for word in words] == [getattr(right, word) for word in words]
            assert left.probability == pytest.approx(right.probability, abs=1e-4)
    for left, right in zip(one.top, other.top, strict=True):
        assert left.score == pytest.approx(right.score, abs=1e-5)


@pytest.mark.parametrize("singers", [1, 2, 40, 1500])
@pytest.mark.parametrize("unknown_prior", [None, 0.2])
def test_answers_are_those_of_the_identifier(singers, unknown_prior):
    gallery = EnrolledVoices(singers)
    identifier = Identifier(gallery, calibrated(KNOWN), unknown_prior)
    songs = tracks(gallery.voices.vectors, 90 if singers == 1500 else 300)
    matches = list(Matcher(identifier)(enumerate(songs)))
    assert [match.recording for match in matches] == list(range(len(songs)))
    for match, song in zip(matches, songs, strict=True):
        same(match.answer, identifier.name(song))
    verdicts = {match.answer.verdict for match in matches}
    assert Verdict.NOT_ENOUGH_VOCALS in verdicts and Verdict.SINGER in verdicts
    if singers > 2:
        assert Verdict.SEVERAL in verdicts
        assert any(v.together for match in matches for v in match.answer.voices)


def test_more_tracks_than_a_group_come_in_order():
    gallery = EnrolledVoices(5)
    identifier = Identifier(gallery, calibrated(KNOWN))
    songs = tracks(gallery.voices.vectors, 1200)
    found = list(Matcher(identifier, top=1)(enumerate(songs)))
    assert [match.answer.track_id for match in found] == [song.track_id for song in songs]
    same(found[-2].answer, identifier.name(songs[-2], top=1))
    assert list(Matcher(identifier)(())) == []


def test_a_library_is_matched_as_its_tracks_are(tmp_path):
    gallery = EnrolledVoices(40)
    identifier = Identifier(gallery, calibrated(KNOWN))
    songs = tracks(gallery.voices.vectors, 50)
    with Library(tmp_path / "l", PRINT) as library:
        for number, song in enumerate(songs):
            library.add(LibraryFile(f"/{number}.mp3", 1, 1), str(number), song)
        found = {match.recording: match.answer for match in Matcher(identifier)(library.all_heard())}
        assert len(found) == 50
        for recording, answer in found.items():
            same(answer, identifier.name(library.heard(recording)))
