"""The band: repeatable, never silent, in the key of its chords."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from whosings.audio import SAMPLE_RATE
from whosings.choir.band import Palette, draw_palette, play
from whosings.choir.score import Score, compose


def palette(seed: int, **changes) -> Palette:
    return replace(draw_palette(np.random.default_rng(seed)), **changes)


def score(seed: int = 0, tempo: float = 100.0, duration_s: float = 8.0) -> Score:
    return compose(np.random.default_rng(seed), duration_s, 57.0, tempo)


@pytest.mark.parametrize("seed", range(16))
def test_plays_through_every_half_bar_within_limits(seed):
    band = palette(seed)
    song = score(seed, band.tempo)
    sound = play(band, song, np.random.default_rng(seed))
    assert sound.dtype == np.float32
    assert sound.shape == (round(song.duration_s * SAMPLE_RATE),)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() == pytest.approx(0.9, abs=1e-6)
    halves = np.array_split(sound, 2 * len(song.chords))
    level = np.array([np.sqrt(np.mean(half**2)) for half in halves])
    assert level.min() > 0.005
    assert level.min() > 0.05 * level.max()


def test_a_seed_is_a_band():
    song = score()
    takes = [play(palette(3), song, np.random.default_rng(1)) for _ in range(2)]
    assert np.array_equal(*takes)
    assert not np.array_equal(takes[0], play(palette(4), song, np.random.default_rng(1)))
    assert draw_palette(np.random.default_rng(3)).tempo == palette(3).tempo


def test_another_process_plays_the_same():
    code = """
import hashlib, numpy as np
from whosings.choir.band import draw_palette, play
from whosings.choir.score import compose
song = compose(np.random.default_rng(0), 8.0, 57.0, 100.0)
sound = play(draw_palette(np.random.default_rng(3)), song, np.random.default_rng(1))
print(hashlib.sha256(sound.tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    here = play(palette(3), score(), np.random.default_rng(1))
    assert done.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


def test_the_chord_of_each_bar_is_heard():
    chords = ((60, 64, 67), (65, 69, 72), (57, 60, 64))
    plain = palette(
        0,
        chord_partials=np.array([1.0]),
        chord_decay_s=5.0,
        chord_pattern=(0.0,),
        bass_partials=np.array([1.0]),
        octave=0,
        drums=0.0,
        wet=0.0,
    )
    sound = play(plain, Score((), chords, 0.5), np.random.default_rng(0)).astype(np.float64)
    for bar, chord in enumerate(chords):
        part = sound[bar * 32000 + 1600 : bar * 32000 + 28800] * np.hanning(27200)

        def level(pitch: float, part=part) -> float:
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            return float(np.abs(part @ np.exp(-2j * np.pi * hertz * np.arange(part.size) / SAMPLE_RATE)))

        scale = {pitch: level(pitch) for pitch in range(57, 75)}
        loudest = sorted(sorted(scale, key=lambda pitch: scale[pitch])[-3:])
        assert loudest == sorted(chord)
        assert level(chord[0] - 24) > 5 * level(chord[0] - 22)  # the bass has the root


def test_drums_fall_on_the_beat():
    kit = palette(0, chord_partials=np.array([1e-6]), bass_partials=np.array([1e-6]), drums=1.0, wet=0.0)
    kit = replace(kit, chord_partials=np.zeros(1) + 1e-9)
    song = Score((), ((60, 64, 67),) * 2, 0.5)
    with_drums = play(kit, song, np.random.default_rng(0)).astype(np.float64)
    high = np.diff(with_drums, 2)  # the hat's noise
    energy = (high[: 31 * 1000] ** 2).reshape(-1, 1000).sum(axis=1)  # by sixteenths of a second
    on = list(range(0, 31, 4))
    off = list(range(2, 31, 4))
    assert min(energy[on]) > 10 * max(energy[off])


def test_palettes_differ_and_keep_their_limits():
    drawn = [palette(seed) for seed in range(200)]
    assert len({p.tempo for p in drawn}) == 200
    assert {p.octave for p in drawn} == {-12, 0, 12}
    assert 0.1 < np.mean([p.drums == 0 for p in drawn]) < 0.4
    assert all(70 <= p.tempo <= 150 and 0 <= p.wet <= 0.5 and np.isfinite(p.chord_partials).all() for p in drawn)
