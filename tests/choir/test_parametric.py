"""Sung notes have the pitch of the score, voices the formants of their tract, consonants their hiss or closure."""

import hashlib
import subprocess
import sys
from dataclasses import fields, replace
from itertools import groupby

import numpy as np
import pytest
import torch

from whosings.audio import SAMPLE_RATE
from whosings.choir.expression import Manner, sing_line
from whosings.choir.parametric import Voice, articulate, draw_voice, envelopes, sing, sing_batch
from whosings.choir.score import CONSONANTS, PHONES, VOWELS, Note, Score, compose
from whosings.sound.vocoder import BINS, FREQUENCIES, HOP, SILENT, sound

CHORD = (60, 64, 67)
STEADY = Manner(
    glide_s=0.01, scoop_cents=0.0, vibrato_cents=0.0, drift_cents=0.0, jitter_cents=0.0, late_s=0.0, accent_db=0.0
)


def voice(seed: int, **changes) -> Voice:
    return replace(draw_voice(np.random.default_rng(seed)), **changes)


def one_note(pitch: float, vowel: str = "a", consonant: str = "", duration_s: float = 1.6) -> Score:
    return Score((Note(0.0, duration_s, pitch, vowel, consonant),), (CHORD,), 0.5)


def take(singer: Voice, score: Score, seed: int = 0) -> np.ndarray:
    return sing(singer, score, np.random.default_rng(seed))


def raw(singer: Voice, score: Score, seed: int = 0) -> np.ndarray:
    """Not normalised."""
    return sing_batch([singer], [score], [np.random.default_rng(seed)])[0].numpy()


def f0(frame: np.ndarray, low: float = 60.0, high: float = 1100.0) -> float:
    """Frequency by the first high peak of the normalised autocorrelation, of the sound below 1.8 kHz at four times the
    rate: else ripples of the upper formants, or too few samples a period, move the peaks."""
    low_passed = np.fft.rfft(frame - frame.mean())
    low_passed[int(1800 * frame.size / SAMPLE_RATE) :] = 0
    fine = np.fft.irfft(low_passed, 4 * frame.size)[frame.size // 5 : -(frame.size // 5)]
    rate, n = 4 * SAMPLE_RATE, fine.size
    shortest, longest = int(rate / high), int(rate / low)
    square = np.concatenate([[0], np.cumsum(fine**2)])
    match = np.array(
        [
            fine[: n - lag] @ fine[lag:] / np.sqrt(square[n - lag] * (square[n] - square[lag]) + 1e-20)
            for lag in range(longest + 2)
        ]
    )
    peaks = [lag for lag in range(shortest, longest + 1) if match[lag - 1] < match[lag] >= match[lag + 1]]
    lag = next(lag for lag in peaks if match[lag] > 0.97 * match[peaks].max())
    a, b, c = match[lag - 1 : lag + 2]
    return rate / (lag + 0.5 * (a - c) / (a - 2 * b + c))


def cents(hertz: float, pitch: float) -> float:
    return 1200 * np.log2(hertz / (440 * 2 ** ((pitch - 69) / 12)))


def spectrum(samples: np.ndarray, size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and the averaged power of overlapping windows."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2] * np.hanning(size)
    power = (np.abs(np.fft.rfft(frames, 4 * size)) ** 2).mean(axis=0)
    return np.fft.rfftfreq(4 * size, 1 / SAMPLE_RATE), power


def whisperer(seed: int, **changes) -> Voice:
    """All breath, and none of a voice's own colouring."""
    plain = {"colour": np.zeros(17), "cluster_db": 0.0, "nasality": 0.0, "bandwidths": np.full(8, 70.0)}
    return voice(seed, **{"breath_db": 60.0, "manner": STEADY, **plain, **changes})


def test_the_oracle_hears_a_known_pitch():
    time = np.arange(1600) / SAMPLE_RATE
    for hertz in (98.0, 220.5, 523.3):
        tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 8))
        assert abs(1200 * np.log2(f0(tone) / hertz)) < 5


@pytest.mark.parametrize("pitch", [43.0, 52.0, 60.0, 67.5, 76.0])
@pytest.mark.parametrize("vowel", ["a", "i"])
def test_a_steady_note_has_the_scores_pitch(pitch, vowel):
    for seed in (1, 2):
        samples = take(voice(seed, manner=STEADY, breath_db=-40.0), one_note(pitch, vowel))[8000:19200]
        heard = [cents(f0(part), pitch) for part in samples.reshape(-1, 1600)]
        assert abs(np.median(heard)) < 10


def test_worlds_analysis_hears_the_melody():
    pyworld = pytest.importorskip("pyworld")
    score = Score(tuple(Note(0.5 * n, 0.5, 50.0 + 2 * n, "a", "n") for n in range(8)), (CHORD,) * 2, 0.5)
    samples = take(voice(3, manner=STEADY, breath_db=-30.0), score).astype(np.float64)
    heard, at = pyworld.dio(samples, SAMPLE_RATE, frame_period=10.0)
    heard = pyworld.stonemask(samples, heard, at, SAMPLE_RATE)
    for n in range(8):
        middle = heard[50 * n + 15 : 50 * n + 45]
        assert abs(cents(float(np.median(middle[middle > 0])), 50.0 + 2 * n)) < 8


def test_vibrato_swings_and_scoops_come_from_below():
    swing = replace(STEADY, vibrato_cents=70.0, vibrato_hz=5.0, vibrato_delay_s=0.1)
    samples = take(voice(1, manner=swing, breath_db=-40.0), one_note(60.0))[9600:22400]
    heard = np.array([cents(f0(samples[i : i + 800], 150), 60.0) for i in range(0, 12000, 400)])
    assert abs(heard.mean()) < 15
    assert 90 < np.ptp(heard) < 150
    scooping = voice(1, manner=replace(STEADY, scoop_cents=200.0), breath_db=-40.0)
    early = [cents(f0(take(scooping, one_note(60.0), seed)[480:1280], 150), 60.0) for seed in range(5)]
    assert max(early) < 0


@pytest.mark.parametrize("tract", [0.8, 1.0, 1.25])
def test_a_whispered_vowel_has_the_voices_formants(tract):
    hertz = np.array([700.0, 1900, 3200, 4300, 5200, 6100, 6900, 7600]) / tract
    singer = whisperer(3, tract=tract, formants=np.tile(hertz, (len(PHONES), 1)))
    frequency, power = spectrum(raw(singer, one_note(45.0, "a", duration_s=1.9))[3200:28800])
    for formant in hertz[:4]:
        near = np.abs(frequency - formant) < 350
        assert frequency[near][power[near].argmax()] == pytest.approx(formant, abs=0.04 * formant + 20)


@pytest.mark.parametrize("vowel", VOWELS)
def test_each_vowel_has_its_own_formants(vowel):
    """The envelope's peaks are the row of the voice's table, whatever the pitch."""
    singer = whisperer(5, bandwidths=np.full(8, 50.0))
    expected = singer.formants[PHONES.index(vowel)]
    score = one_note(40.0, vowel)
    controls = articulate(singer, score, sing_line(score, STEADY, np.random.default_rng(0)))
    envelope = envelopes([singer], [controls])[1][0, 80].numpy()
    peaks = [i for i in range(1, BINS - 1) if envelope[i - 1] < envelope[i] >= envelope[i + 1]]
    for formant in expected[:5][np.diff(expected)[:5] > 300]:
        assert np.abs(FREQUENCIES[peaks] - formant).min() < 0.05 * formant + 16


def test_long_tracts_have_low_voices_and_low_formants():
    voices = [voice(seed) for seed in range(300)]
    centre = np.array([v.centre for v in voices])
    tract = np.log([v.tract for v in voices])
    first = np.log([v.formants.mean() for v in voices])
    assert np.corrcoef(centre, first)[0, 1] > 0.5
    assert np.corrcoef(centre, tract)[0, 1] < -0.6
    assert np.corrcoef(tract, first)[0, 1] < -0.8
    assert 35 < centre.min() < 50 < 62 < centre.max() < 78
    assert all((np.diff(v.formants, axis=1) > 0).all() for v in voices)


def test_identities_differ_in_everything():
    voices = [voice(seed) for seed in range(40)]
    for field in fields(Voice):
        values = [getattr(v, field.name) for v in voices]
        if field.name == "nasality":  # many have none
            assert len(set(values)) > 5
        else:
            keys = {v.tobytes() if isinstance(v, np.ndarray) else v for v in values}
            assert len(keys) == 40
    assert all(v.formants.shape == (len(PHONES), 8) and v.bandwidths.min() > 0 for v in voices)


def test_two_singers_of_one_song_sound_different():
    score = one_note(57.0, "a")
    averages = []
    for seed in range(6):
        _, power = spectrum(raw(voice(seed, manner=STEADY), score)[6400:25600])
        averages.append(10 * np.log10(power[10:]) - 10 * np.log10(power[10:].mean()))
    for one in range(6):
        for two in range(one):
            assert np.std(averages[one] - averages[two]) > 3


def test_a_seed_is_a_voice_and_a_performance():
    first, second = voice(5), voice(5)
    assert first.centre == second.centre
    assert np.array_equal(first.formants, second.formants)
    assert voice(6).centre != first.centre
    score = compose(np.random.default_rng(0), 4.0, 57.0, 100.0)
    assert take(first, score, 1).tobytes() == take(second, score, 1).tobytes()
    assert not np.array_equal(take(first, score, 1), take(first, score, 2))


def test_another_process_sings_the_same():
    code = """
import hashlib, numpy as np, torch
from whosings.choir.score import compose
from whosings.choir.parametric import draw_voice, sing
torch.set_num_threads(1)
score = compose(np.random.default_rng(0), 4.0, 57.0, 100.0)
sound = sing(draw_voice(np.random.default_rng(5)), score, np.random.default_rng(1))
print(hashlib.sha256(sound.tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    here = take(voice(5), compose(np.random.default_rng(0), 4.0, 57.0, 100.0), 1)
    assert done.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@pytest.mark.parametrize("pitch", [36.0, 45.0, 57.0, 69.0, 76.0, 84.0])
def test_notes_are_equally_loud_high_or_low_on_any_vowel(pitch):
    for seed in range(6):
        samples = raw(voice(seed, manner=STEADY, breath_db=-40.0), one_note(pitch, VOWELS[seed % 5]))[6400:19200]
        assert 20 * np.log10(samples.std()) == pytest.approx(0, abs=0.5)


def test_a_batch_is_each_voice_alone():
    voices = [voice(seed) for seed in range(4)]
    scores = [compose(np.random.default_rng(10 + seed), 4.0, v.centre, 90.0) for seed, v in enumerate(voices)]
    scores[3] = Score((), scores[3].chords, scores[3].beat_s)  # one has a rest
    together = sing_batch(voices, scores, [np.random.default_rng(seed) for seed in range(4)])
    assert together.dtype == torch.float64
    assert together.shape == (4, round(scores[0].duration_s * 100) * HOP)
    for seed in range(4):
        np.testing.assert_allclose(together[seed].numpy(), raw(voices[seed], scores[seed], seed), rtol=0, atol=1e-10)


def test_a_performance_through_the_vocoder_is_the_song():
    score, singer = one_note(57.0, "a", duration_s=2.5), voice(2, manner=STEADY)
    rng = np.random.default_rng(4)
    frames = singer.perform(score, STEADY, rng)
    assert len(frames) == 200 and frames.envelope.shape == (200, BINS)
    # A steady pitch goes on through the unvoiced edges, so that nothing at all is different.
    np.testing.assert_allclose(sound(frames, rng), raw(singer, score, 4), atol=1e-5)


def test_many_songs_are_finite_and_within_limits():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        singer = draw_voice(rng)
        score = compose(rng, 5.0, singer.centre, 60.0 + 10 * seed)
        samples = sing(singer, score, rng)
        assert samples.dtype == np.float32
        assert samples.shape == (round(score.duration_s * 100) * HOP,)
        assert abs(samples.size - score.duration_s * SAMPLE_RATE) <= HOP / 2 + 1
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() == pytest.approx(0.9, abs=1e-6)
        assert abs(samples.mean()) < 0.01


def test_frames_are_what_a_vocoder_takes():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        singer = draw_voice(rng)
        score = compose(rng, 5.0, singer.centre, 100.0)
        frames = singer.perform(score, singer.manner, rng)
        assert np.isfinite(frames.envelope).all() and (frames.envelope > 0).all()
        assert frames.aperiodicity.min() >= 0 and frames.aperiodicity.max() <= 1
        assert ((frames.f0 == 0) | ((frames.f0 > 30) & (frames.f0 < 2500))).all()
        rests = frames.labels == SILENT
        assert not frames.voiced[rests].any()
        loud = frames.envelope.mean(axis=1)
        assert loud[rests].max() < 1e-4 * np.median(loud[~rests])


@pytest.mark.parametrize("pitch", [12.0, 108.0, 126.0])
@pytest.mark.parametrize("consonant", ["", "n", "s", "t"])
def test_extreme_notes_are_finite(pitch, consonant):
    for duration_s in (0.001, 0.01, 0.5):
        samples = take(voice(0), one_note(pitch, "u", consonant, duration_s))
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() == pytest.approx(0.9, abs=1e-6)


def test_very_short_notes_have_no_room_for_consonants_but_are_sung():
    notes = tuple(Note(0.02 * n, 0.02, 57.0, "a", "t", "s") for n in range(100))
    samples = take(voice(0), Score(notes, (CHORD,), 0.5))
    assert np.isfinite(samples).all() and np.abs(samples).max() == pytest.approx(0.9, abs=1e-6)


def test_it_sings_where_the_score_says_and_nowhere_else():
    notes = (Note(0.5, 0.4, 57.0, "a", ""), Note(1.4, 0.4, 60.0, "o", "m"))
    samples = take(voice(2), Score(notes, (CHORD,), 0.5))
    level = np.abs(samples).reshape(-1, 1600).max(axis=1)  # by tenths of a second
    sung = [5, 6, 7, 14, 15, 16, 17]
    assert (level[sung] > 0.02).all()
    rest = np.delete(level, [4, 8, 9, 13, 18, *sung])  # singers are some 10 ms early or late
    assert rest.max() < 0.01 * level.max()


def test_labels_are_the_scores_words():
    notes = (
        Note(0.2, 0.5, 57.0, "a", "s", ""),
        Note(0.8, 0.6, 60.0, "E", "", "n"),
        Note(1.6, 0.8, 60.0, "y", "k", "t"),
        Note(2.4, 1.0, 62.0, "o", "m", ""),
    )
    score, singer = Score(notes, (CHORD,) * 2, 0.5), voice(2, manner=STEADY, crisp=1.0)
    frames = singer.perform(score, STEADY, np.random.default_rng(0))
    said = [(key, len(list(group))) for key, group in groupby(frames.labels)]
    spoken = [PHONES[key] for key, _ in said if key != SILENT]
    assert spoken == ["s", "a", "E", "n", "k", "y", "t", "m", "o"]
    line = sing_line(score, STEADY, np.random.default_rng(0))
    assert np.array_equal(frames.labels == SILENT, line.note == -1)
    length = {PHONES[key]: count for key, count in said if key != SILENT}
    assert length["s"] == pytest.approx(11, abs=1) and length["m"] == length["n"] == 8
    assert length["a"] > 30


@pytest.mark.parametrize("consonant", CONSONANTS[1:])
def test_consonants_sound_as_they_should(consonant):
    """Against the vowel before: sonorants hum, fricatives hiss, stops close and burst."""
    singer = voice(4, manner=STEADY, breath_db=-40.0)
    score = Score((Note(0.0, 1.0, 50.0, "o", ""), Note(1.0, 1.0, 50.0, "o", consonant)), (CHORD,), 0.5)
    samples = raw(singer, score, 1)
    labels = singer.perform(score, STEADY, np.random.default_rng(1)).labels
    at = np.flatnonzero(labels == PHONES.index(consonant))
    part = samples[at[0] * HOP : (at[-1] + 1) * HOP]
    level = 20 * np.log10(part.reshape(-1, HOP).std(axis=1) / samples[8000:12000].std())
    power = np.abs(np.fft.rfft(part * np.hanning(part.size))) ** 2
    treble = power[int(power.size * 3 / 8) :].sum() / power.sum()  # above 3 kHz
    if consonant in "nmlrjw":
        assert treble < 0.02
        assert -15 < level.min() < level.max() < 1
    elif consonant in "sfSzv":
        assert treble > (0.1 if consonant == "v" else 0.5)
    elif consonant in "tkp":
        assert level.min() < -40 and level[-2:].max() > level.min() + 30
        assert treble > (0.5 if consonant == "t" else 0.05)
    elif consonant in "dgb":
        assert -30 < level.min() < -10
    else:
        assert consonant == "h" and -25 < level.mean() < -8


def test_voiceless_consonants_have_no_pitch():
    for consonant in CONSONANTS[1:]:
        score = Score((Note(0.0, 1.0, 50.0, "o", ""), Note(1.0, 1.0, 50.0, "o", consonant)), (CHORD,), 0.5)
        frames = voice(4, manner=STEADY).perform(score, STEADY, np.random.default_rng(1))
        voiced = frames.voiced[frames.labels == PHONES.index(consonant)]
        assert not voiced.any() if consonant in "sfShtkp" else voiced.all()


def test_hisses_are_the_singers_own():
    for hiss_hz in (4500.0, 6500.0):
        singer = voice(4, manner=STEADY, hiss_hz=hiss_hz, breath_db=-60.0, crisp=1.4)
        frequency, power = spectrum(raw(singer, one_note(50.0, "o", "s"))[480:2240], 256)
        assert np.sum(power * frequency) / np.sum(power) == pytest.approx(hiss_hz, rel=0.06)


def test_breath_is_noise():
    score = one_note(50.0, "a", duration_s=1.9)

    def periodic(breath_db: float) -> float:
        """Correlation of the sound with itself a period later."""
        samples = raw(voice(6, manner=STEADY, breath_db=breath_db), score)[8000:24000]
        lag = round(SAMPLE_RATE / (440 * 2 ** ((50.0 - 69) / 12)))
        return float(np.corrcoef(samples[lag:], samples[:-lag])[0, 1])

    clear, breathy, whisper = periodic(-40.0), periodic(0.0), periodic(40.0)
    assert clear > 0.97 and clear > breathy + 0.01 > whisper + 0.3
    assert abs(whisper) < 0.4


def test_no_note_no_sound():
    samples = take(voice(0), Score((), (CHORD,), 0.5))
    assert samples.shape == (32000,)
    assert not samples.any()
    frames = voice(0).perform(Score((), (CHORD,), 0.5), STEADY, np.random.default_rng(0))
    assert (frames.labels == SILENT).all() and not frames.voiced.any()
    assert frames.envelope.max() < 1e-5
