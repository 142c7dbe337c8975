"""Chords and melodies whose keys are known."""

import numpy as np
import pytest

from whosings.sound.harmony import chroma, transposed, transposition

MAJOR = (0, 2, 4, 5, 7, 9, 11)


def tone(midi, seconds, overtones=6):
    time = np.arange(round(seconds * 16_000)) / 16_000
    hertz = 440 * 2 ** ((midi - 69) / 12)
    return sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, overtones + 1))


def melody(key):
    """Steps of a major scale around the tonic, with more of the tonic, third and fifth."""
    return np.concatenate([tone(60 + key + MAJOR[n], 0.4) for n in (0, 1, 2, 4, 5, 4, 3, 2, 6, 0, 2, 4, 1, 0)])[None]


def band(key):
    """Tonic, subdominant, dominant and tonic."""
    chords = ((48, 52, 55), (53, 57, 60), (55, 59, 62), (48, 52, 55))
    return np.concatenate([sum(tone(note + key, 1.5) for note in chord) for chord in chords])[None]


def test_chroma_of_one_note_is_its_class():
    for midi in (57, 60, 66):
        found = chroma(tone(midi, 2.0, 1)[None])
        assert found.argmax() == midi % 12
        assert np.linalg.norm(found) == pytest.approx(1)
    assert not chroma(np.zeros((1, 16_000), np.float32)).any()


@pytest.mark.parametrize("key", [0, 3, 8])
@pytest.mark.parametrize("away", range(-3, 4))
def test_the_band_goes_to_the_voices_key(key, away):
    assert transposition(melody(key), band(key + away)) == -away


def test_silence_leaves_the_band_where_it_is():
    assert transposition(np.zeros((1, 32_000), np.float32), band(0)) == 0


@pytest.mark.parametrize("semitones", [-3, 1, 3])
def test_transposed_moves_pitch_and_tempo(semitones):
    moved = transposed(np.stack([tone(69, 2.0, 1)] * 2).astype(np.float32), semitones)
    assert moved.shape[0] == 2 and moved.dtype == np.float32
    assert moved.shape[1] == pytest.approx(32_000 / 2 ** (semitones / 12), abs=2)
    found = np.abs(np.fft.rfft(moved[0] * np.hanning(moved.shape[1]), 160_000)).argmax() / 10
    assert found == pytest.approx(440 * 2 ** (semitones / 12), abs=0.3)
