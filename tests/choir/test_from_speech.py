"""Speech turned singing: the melody is sung, consonants keep their length, formants stay or move as asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whosings.audio import SAMPLE_RATE
from whosings.choir.expression import Manner, sing_line
from whosings.choir.from_speech import Style, draw_style, find_speakers, read_speaker, sing_speech, voiced_only
from whosings.choir.parametric import draw_voice, sing
from whosings.choir.score import Note, Score, compose
from whosings.errors import ConfigError, MissingFileError, TooShortError
from whosings.sound.vocoder import FRAME_RATE, HOP, sound

pyworld = pytest.importorskip("pyworld")

STEADY = Manner(glide_s=0.01, scoop_cents=0.0, vibrato_cents=0.0, drift_cents=0.0, jitter_cents=0.0)
PLAIN = Style(stretch=2.0, lift=3.0, tempo=100, manner=STEADY)
LIBRISPEECH = Path(__file__).parents[3] / "shared" / "data" / "librispeech"


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A voice whose pitch wanders: syllables of a parametric singer."""
    rng = np.random.default_rng(4)
    voice = replace(draw_voice(rng), breath_db=-35.0)
    return sing(voice, compose(rng, 12, 50, 130), rng)


@pytest.fixture(scope="module")
def speaker_file(speech: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "ann" / "one.wav"
    path.parent.mkdir()
    soundfile.write(path, speech, SAMPLE_RATE)
    return path


def pitch(samples: np.ndarray) -> np.ndarray:
    samples = samples.astype(np.float64)
    f0, times = pyworld.dio(samples, SAMPLE_RATE, frame_period=10.0)
    return pyworld.stonemask(samples, f0, times, SAMPLE_RATE)


def cents(f0: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return 1200 * np.log2(f0 / reference)


def test_a_speaker_sings_a_score(speaker_file: Path) -> None:
    speaker = read_speaker([speaker_file], np.random.default_rng(0))
    score = compose(np.random.default_rng(1), 10.0, speaker.centre, 90.0)
    frames = speaker.perform(score, STEADY, np.random.default_rng(2))
    assert len(frames) == round(score.duration_s * FRAME_RATE)
    line = sing_line(score, STEADY, np.random.default_rng(2))
    assert np.array_equal(frames.f0[frames.voiced], line.f0[frames.voiced])
    assert frames.voiced[line.note >= 0].mean() > 0.6 and not frames.voiced[line.note < 0].any()
    heard = pitch(sound(frames, np.random.default_rng(3)))[: len(frames)]
    both = frames.voiced & (heard > 0)
    inside = both & np.roll(both, 5) & np.roll(both, -5)
    off = np.abs(cents(heard[inside], line.f0[inside]))
    assert inside.sum() > 300 and (off < 50).mean() > 0.97


def test_vowels_are_as_loud_as_each_other_and_rests_are_silent(speaker_file: Path) -> None:
    speaker = read_speaker([speaker_file], np.random.default_rng(0))
    notes = tuple(Note(n * 0.5, 0.3, speaker.centre, "a", "") for n in range(8))
    frames = speaker.perform(
        Score(notes, ((60, 64, 67),) * 2, 0.5), replace(STEADY, accent_db=0.0), np.random.default_rng(2)
    )
    power = 10 * np.log10(frames.envelope.mean(axis=1) + 1e-9)
    loud = [power[n * 50 + 14 : n * 50 + 22].mean() for n in range(8)]
    assert np.abs(loud).max() < 8
    assert power[36:44].max() < -60


def test_the_vowel_fills_the_note_and_consonants_keep_their_length(speaker_file: Path) -> None:
    speaker = read_speaker([speaker_file], np.random.default_rng(0))
    lengths = []
    for duration_s in (0.5, 1.0, 2.0):
        score = Score((Note(0.0, duration_s, speaker.centre, "a", ""),), ((60, 64, 67),) * 2, 0.5)
        frames = speaker.perform(score, STEADY, np.random.default_rng(2))
        start = int(frames.voiced.argmax())
        lengths.append(start)
        assert frames.voiced[start : round(duration_s * 100) - 5].mean() > 0.9
    assert lengths[1] == lengths[2]


def test_a_tract_and_a_seed_make_another_singer(speaker_file: Path) -> None:
    def centroid(tract: float) -> float:
        speaker = read_speaker([speaker_file], np.random.default_rng(0), tract)
        power = speaker.frames.envelope[speaker.frames.voiced].mean(axis=0)
        return float(power @ np.arange(power.size) / power.sum())

    assert centroid(0.84) > 1.03 * centroid(1.0) > 1.06 * centroid(1.19)
    first, again, other = (read_speaker([speaker_file], np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.manner == again.manner != other.manner and first.centre == again.centre
    own, high = (read_speaker([speaker_file], np.random.default_rng(0), tract).centre for tract in (1.0, 0.84))
    assert high - own == pytest.approx(12 * np.log2(1 / 0.84))


def test_the_seed_decides_a_performance(speaker_file: Path) -> None:
    speaker = read_speaker([speaker_file], np.random.default_rng(0))
    score = compose(np.random.default_rng(1), 4.0, speaker.centre, 90.0)
    first, again, other = (speaker.perform(score, STEADY, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.envelope, again.envelope) and not np.array_equal(first.envelope, other.envelope)


def test_a_score_without_notes_is_silence(speaker_file: Path) -> None:
    speaker = read_speaker([speaker_file], np.random.default_rng(0))
    frames = speaker.perform(Score((), ((60, 64, 67),), 0.5), STEADY, np.random.default_rng(0))
    assert len(frames) == 200 and not frames.voiced.any() and frames.envelope.max() < 1e-9


def test_too_little_or_no_speech_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * SAMPLE_RATE)
    soundfile.write(tmp_path / "noise.wav", noise, SAMPLE_RATE)
    with pytest.raises(TooShortError, match=r"noise\.wav: holds \d clear syllables"):
        read_speaker([tmp_path / "noise.wav"], np.random.default_rng(0))
    with pytest.raises(MissingFileError):
        read_speaker([tmp_path / "gone.wav"], np.random.default_rng(0))


def test_speakers_are_folders_with_enough_speech(speaker_file: Path, tmp_path: Path) -> None:
    assert find_speakers(speaker_file.parents[1]) == {"ann": (speaker_file,)}
    with pytest.raises(ConfigError, match="no such folder"):
        find_speakers(tmp_path / "gone")
    (tmp_path / "bob").mkdir()
    soundfile.write(tmp_path / "bob" / "brief.wav", np.ones(2 * SAMPLE_RATE) * 0.1, SAMPLE_RATE)
    (tmp_path / "bob" / "notes.txt").write_text("no sound")
    with pytest.raises(ConfigError, match="holds no speaker with 5 s of recordings"):
        find_speakers(tmp_path)


@pytest.mark.skipif(not LIBRISPEECH.is_dir(), reason="needs LibriSpeech")
def test_real_speakers_sing() -> None:
    for files in list(find_speakers(LIBRISPEECH).values())[:4]:
        speaker = read_speaker(files, np.random.default_rng(0))
        assert len(speaker.syllables) >= 8 and 38 <= speaker.centre <= 76
        lengths = speaker.syllables[:, 2] - speaker.syllables[:, 1]
        assert 5 <= np.median(lengths) <= 40  # 50 to 400 ms, as spoken vowels are
        made = sound(
            speaker.perform(
                compose(np.random.default_rng(1), 5.0, speaker.centre, 90.0), speaker.manner, np.random.default_rng(0)
            ),
            np.random.default_rng(0),
        )
        assert made.size % HOP == 0 and np.isfinite(made).all() and np.std(made) > 0.01


def test_it_is_longer_where_it_is_voiced_and_as_loud(speech: np.ndarray) -> None:
    f0, at = pyworld.dio(speech.astype(np.float64), SAMPLE_RATE, frame_period=10.0)
    voiced = float(np.mean(pyworld.stonemask(speech.astype(np.float64), f0, at, SAMPLE_RATE) > 0))
    for stretch in (1.0, 2.0, 3.0):
        sung = sing_speech(speech, replace(PLAIN, stretch=stretch), np.random.default_rng(0))
        assert sung.size == pytest.approx(speech.size * (1 - voiced + voiced * stretch), rel=0.03)
        assert np.std(sung) == pytest.approx(np.std(speech), rel=1e-3)
        assert sung.dtype == np.float32 and np.isfinite(sung).all()


def test_a_melody_of_semitones_is_sung(speech: np.ndarray) -> None:
    sung = sing_speech(speech, PLAIN, np.random.default_rng(1))
    f0 = pitch(sung)
    notes = 69 + 12 * np.log2(f0[f0 > 0] / 440)
    steady = np.abs(np.diff(notes, prepend=notes[0])) < 0.02
    assert steady.mean() > 0.5
    off = np.abs(notes[steady] - np.round(notes[steady]))
    assert np.median(off) < 0.1 and len(np.unique(np.round(notes[steady]))) >= 3


def test_lift_moves_the_melody(speech: np.ndarray) -> None:
    low, high = (
        np.median((f := pitch(sing_speech(speech, replace(PLAIN, lift=lift), np.random.default_rng(1))))[f > 0])
        for lift in (0.0, 7.0)
    )
    assert 12 * np.log2(high / low) == pytest.approx(7, abs=2.5)


def test_another_tract_moves_the_formants(speech: np.ndarray) -> None:
    def centre(tract: float) -> float:
        sung = sing_speech(speech, replace(PLAIN, tract=tract), np.random.default_rng(1))
        spectrum = np.abs(np.fft.rfft(sung)) ** 2
        return float(np.sum(spectrum * np.arange(spectrum.size)) / np.sum(spectrum))

    assert centre(0.8) > 1.05 * centre(1.0) > 1.1 * centre(1.25)


def test_breath_makes_noise_of_it(speech: np.ndarray) -> None:
    clean = sing_speech(speech, PLAIN, np.random.default_rng(1))
    whisper = sing_speech(speech, replace(PLAIN, breath=1.0), np.random.default_rng(1))
    assert np.mean(pitch(whisper) > 0) < 0.5 * np.mean(pitch(clean) > 0)


def test_the_seed_decides(speech: np.ndarray) -> None:
    first, again, other = (sing_speech(speech, PLAIN, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    styles = [draw_style(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert styles[0] == styles[1] != styles[2]


def test_noise_cannot_sing() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    with pytest.raises(TooShortError, match="too little voiced sound"):
        sing_speech(noise, PLAIN, np.random.default_rng(0))


def test_pauses_are_dropped() -> None:
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.1).astype(np.float32)
    kept = voiced_only(np.concatenate([tone, np.zeros(SAMPLE_RATE, np.float32), tone]))
    assert kept.size == pytest.approx(2 * SAMPLE_RATE + 2 * 3 * 480, abs=2 * 480)
