"""Bands of sampled instruments: the MIDI holds the score; the sound needs FluidSynth and a soundfont."""

import io
from dataclasses import replace

import numpy as np
import pytest

from whosings.choir.score import Note, Score, compose
from whosings.choir.soundfont import LEADS, Ensemble, arrange, draw_ensemble, find_soundfont, render
from whosings.errors import WhosingsError

mido = pytest.importorskip("mido")

CHORDS_ONLY = Ensemble(
    chords=0, bass=None, pad=None, figure=None, lead=None, kit=None, chord_beats=(0.0, 2.0), bass_beats=(), kick=(),
    snare=(), hat=(), octave=0, swing=0.0, reverb=0, chorus=0, levels=(100,) * 6,
)  # fmt: skip


def notes_of(midi: bytes) -> list[tuple[int, int, float]]:
    """(channel, pitch, seconds) of every note that begins."""
    found, at = [], 0.0
    for message in mido.MidiFile(file=io.BytesIO(midi)):
        at += message.time
        if message.type == "note_on":
            found.append((message.channel, message.note, at))
    return found


def test_chords_sound_where_the_pattern_says() -> None:
    score = Score((), ((60, 64, 67), (57, 60, 64)), beat_s=0.5)
    notes = notes_of(arrange(CHORDS_ONLY, score, np.random.default_rng(0)))
    assert [pitch for _, pitch, _ in sorted(notes, key=lambda n: (round(n[2] * 2), n[1]))] == (
        [60, 64, 67] * 2 + [57, 60, 64] * 2
    )
    starts = sorted({round(at * 2) / 2 for _, _, at in notes})
    assert starts == [0.0, 1.0, 2.0, 3.0]


def test_the_lead_plays_the_melody_and_bends_it() -> None:
    melody = (Note(0.0, 1.0, 62.0, "a", ""), Note(1.5, 0.4, 65.0, "e", "n"))
    score = Score(melody, ((60, 64, 67),), beat_s=0.5)
    midi = arrange(replace(CHORDS_ONLY, lead=65), score, np.random.default_rng(3))
    played = [(pitch, at) for channel, pitch, at in notes_of(midi) if channel == 4]
    assert [pitch for pitch, _ in played] == [62, 65]
    assert [at for _, at in played] == pytest.approx([0.0, 1.5], abs=0.02)
    assert any(message.type == "pitchwheel" and message.pitch for message in mido.MidiFile(file=io.BytesIO(midi)))


@pytest.mark.parametrize("lead", [None, *LEADS])
def test_no_ensemble_has_a_voice(lead: str | None) -> None:
    """General MIDI's choirs and voices would teach that voices are instruments."""
    voices = {52, 53, 54, 85, 91}
    for seed in range(60):
        band = draw_ensemble(np.random.default_rng(seed), lead)
        assert not voices & {band.chords, band.bass, band.pad, band.figure, band.lead}
        assert (band.lead in LEADS[lead]) if lead else band.lead is None


def test_the_seed_decides() -> None:
    def made(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return arrange(draw_ensemble(rng), compose(rng, 8, 60, 100), rng)

    assert made(1) == made(1) != made(2)


@pytest.mark.skipif(find_soundfont() is None, reason="needs FluidSynth and a soundfont")
def test_the_sound_follows_the_score() -> None:
    soundfont = find_soundfont()
    score = Score((), ((60, 64, 67),), beat_s=0.5)
    midi = arrange(replace(CHORDS_ONLY, chords=16, chord_beats=(0.0,)), score, np.random.default_rng(0))
    first, again = render(midi, soundfont), render(midi, soundfont)
    assert first.dtype == np.float32 and np.array_equal(first, again)
    assert np.abs(first).max() == pytest.approx(0.9, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(first[1600:25600]))
    hertz = np.fft.rfftfreq(24000, 1 / 16_000)

    def level(pitch: float) -> float:
        at = 440 * 2 ** ((pitch - 69) / 12)
        return float(spectrum[np.abs(hertz - at) < 3].max())

    assert min(level(60), level(64), level(67)) > 5 * max(level(62.5), level(65.5))


def test_a_soundfont_that_is_none(tmp_path) -> None:
    (tmp_path / "bad.sf2").write_bytes(b"no soundfont")
    midi = arrange(CHORDS_ONLY, Score((), ((60, 64, 67),), 0.5), np.random.default_rng(0))
    with pytest.raises(WhosingsError, match=r"is not a soundfont|is not installed"):
        render(midi, tmp_path / "bad.sf2")
