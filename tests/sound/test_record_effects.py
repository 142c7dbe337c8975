"""Studio effects, each against a plain loop or a closed form; what is silent stays silent, what is off does nothing."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from whosings.audio import SAMPLE_RATE
from whosings.sound.record_effects import Chain, apply, carrier, channel_vocoder, doubled, echo, room, saturate, tilted

CHORDS = ((60, 64, 67), (57, 60, 64))
EVERYTHING = Chain(drive_db=6.0, double_db=-6.0, bands=20, echo_db=-10.0, wet=0.3, room_s=0.4, tilt_db=3.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sine(hertz: float, samples: int = SAMPLE_RATE, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(samples) / SAMPLE_RATE)


def saw(hertz: float, samples: int = SAMPLE_RATE) -> np.ndarray:
    return sum(sine(hertz * k, samples, 0.3 / k) for k in range(1, int(7900 / hertz) + 1))


def amplitude(samples: np.ndarray) -> np.ndarray:
    """Amplitudes of the sines in a second of sound, by Hz."""
    assert samples.size == SAMPLE_RATE
    return np.abs(np.fft.rfft(samples)) / (SAMPLE_RATE / 2)


def test_a_room_is_a_tail_after_the_dry_sound():
    dry = np.zeros(16000)
    dry[1000] = 1.0
    assert room(dry, 0.0, 0.5, rng()) is dry
    wet = room(dry, 0.5, 0.25, rng())
    tail = wet - dry
    assert wet.shape == dry.shape
    assert np.abs(tail[:1000]).max() < 1e-9
    assert np.sqrt((tail**2).sum()) == pytest.approx(0.5, rel=1e-6)
    assert np.abs(tail[1000 + 4000 :]).max() < 1e-9
    early, late = (tail[1000:2000] ** 2).sum(), (tail[4000:5000] ** 2).sum()
    assert 10 * np.log10(early / late) == pytest.approx(20 * np.log10(np.e) * 3, abs=3)  # e-fold every millisecond


def test_a_room_decays_by_the_same_decibels_each_moment():
    impulse = np.zeros(2 * SAMPLE_RATE)
    impulse[0] = 1.0
    tail = (room(impulse, 1.0, 1.6, rng(2)) - impulse)[: round(1.6 * SAMPLE_RATE)]
    level = 10 * np.log10((tail.reshape(16, -1) ** 2).sum(axis=1))
    slope = np.polyfit(np.arange(16), level, 1)[0]
    assert slope == pytest.approx(-80 * np.log10(np.e) / 16, rel=0.03)
    assert np.abs(level - np.polyval(np.polyfit(np.arange(16), level, 1), np.arange(16))).max() < 1.0


def test_a_room_is_a_convolution():
    sound = rng(1).normal(0, 1, 3000)
    impulse = rng(0).normal(0, 1, 400) * np.exp(-4.0 * np.arange(400) / 400)
    impulse /= np.linalg.norm(impulse)
    expected = sound + 0.3 * np.convolve(sound, impulse)[:3000]
    np.testing.assert_allclose(room(sound, 0.3, 0.025, rng(0)), expected, atol=1e-9)


def test_an_echo_repeats_and_fades():
    impulse = np.zeros(SAMPLE_RATE)
    impulse[100] = 1.0
    out = echo(impulse, 0.01, -6.0)
    gain = 10 ** (-6 / 20)
    heard = np.flatnonzero(out)
    assert np.array_equal(heard, 100 + 160 * np.arange(heard.size))
    np.testing.assert_allclose(out[heard], gain ** np.arange(heard.size), rtol=1e-12)
    assert out[heard[-1]] > 1e-3 >= out[heard[-1]] * gain  # until 60 dB down


@pytest.mark.parametrize("level_db", [-20.0, -9.0, -3.0])
def test_an_echo_is_a_loop_over_its_repeats(level_db):
    sound = rng(3).normal(0, 1, 4000)
    expected, gain = sound.copy(), 10 ** (level_db / 20)
    for number in range(1, 200):
        if gain**number > 1e-3:
            for n in range(number * 320, sound.size):
                expected[n] += gain**number * sound[n - number * 320]
    before = sound.copy()
    np.testing.assert_allclose(echo(sound, 0.02, level_db), expected, atol=1e-12)
    assert np.array_equal(sound, before)


def test_no_echo_of_nothing_or_too_late_or_as_loud_as_the_sound():
    sound = rng(3).normal(0, 1, 400)
    for delay_s, level_db in ((0.01, -np.inf), (1.0, -6.0), (0.01, 0.0), (0.01, 6.0)):
        assert np.array_equal(echo(sound, delay_s, level_db), sound)


@pytest.mark.parametrize("drive_db", [-40.0, 0.0, 6.0, 14.0])
@pytest.mark.parametrize("samples", [16000, 15999])
def test_saturation_keeps_the_loudness(drive_db, samples):
    sound = rng(4).normal(0, 0.1, samples)
    out = saturate(sound, drive_db)
    assert out.shape == sound.shape
    assert np.std(out) == pytest.approx(np.std(sound), rel=1e-3)
    peak = np.abs(out).max() / np.std(out)
    assert peak < 1.01 * np.abs(sound).max() / np.std(sound)
    assert np.corrcoef(out, sound)[0, 1] > 0.9


def test_little_drive_changes_little():
    sound = rng(4).normal(0, 0.1, 8000)
    np.testing.assert_allclose(saturate(sound, -60.0), sound, atol=1e-5)


@pytest.mark.parametrize("drive_db", [3.0, 8.0, 14.0])
def test_saturation_adds_odd_harmonics_only(drive_db):
    tone = amplitude(saturate(sine(250), drive_db))
    # Oracle: the Fourier series of tanh of a sine, by a fine mean.
    angle = 2 * np.pi * (np.arange(4096) + 0.5) / 4096
    wave = np.tanh(10 ** (drive_db / 20) * np.sin(angle))
    series = np.array([2 * np.mean(wave * np.sin(k * angle)) for k in range(1, 12)])
    heard = tone[250 * np.arange(1, 12)]
    np.testing.assert_allclose(heard[::2] / heard[0], np.abs(series[::2]) / series[0], atol=2e-3)
    assert heard[1::2].max() < 1e-6
    others = np.delete(tone, 250 * np.arange(1, 32, 2))
    assert others.max() < 1e-3


@pytest.mark.parametrize("drive_db", [3.0, 8.0, 14.0])
def test_saturation_does_not_fold_overtones_back(drive_db):
    tone = sine(5000)
    folded = amplitude(np.tanh(2 * 10 ** (drive_db / 20) * tone))  # at the plain rate
    assert folded[1000] > 0.1 * folded[5000]  # the third, at 15 kHz
    heard = amplitude(saturate(tone, drive_db))
    assert heard[1000] < 0.04 * folded[1000] * heard[5000] / folded[5000]
    low = amplitude(saturate(sine(2600), drive_db))
    # 13 kHz, 18.2 and 23.4 kHz would fall to 3 kHz, 2.2 kHz and 7.4 kHz.
    assert max(low[3000], low[2200], low[7400]) < 1e-6


@pytest.mark.parametrize("tilt_db", [-6.0, 2.5, 9.0])
def test_a_tilt_is_a_straight_line_over_octaves(tilt_db):
    for hertz, share in ((125, -0.5), (250, -1 / 3), (500, -1 / 6), (1000, 0.0), (2000, 1 / 6), (4000, 1 / 3)):
        gain = 20 * np.log10(amplitude(tilted(sine(hertz), tilt_db))[hertz] / 0.5)
        assert gain == pytest.approx(share * tilt_db, abs=1e-6)
    top = 0.5 * np.cos(np.pi * np.arange(SAMPLE_RATE))  # 8 kHz
    np.testing.assert_allclose(tilted(top, tilt_db), top * 10 ** (tilt_db / 40), atol=1e-9)
    # Below 60 Hz it stays level.
    low = amplitude(tilted(sine(10) + sine(40), tilt_db))
    assert low[10] == pytest.approx(low[40], rel=1e-9)


def test_tilts_add_up():
    sound = rng(5).normal(0, 1, 5001)
    np.testing.assert_allclose(tilted(tilted(sound, 4.0), -4.0), sound, atol=1e-9)
    np.testing.assert_allclose(tilted(tilted(sound, 4.0), 2.0), tilted(sound, 6.0), atol=1e-9)


def test_a_double_is_fifteen_to_thirty_five_milliseconds_late():
    middles = []
    for seed in range(20):
        sound = np.convolve(rng(seed).normal(0, 1, 4 * SAMPLE_RATE), np.hanning(9), "same")
        late = doubled(sound, 0.0, rng(100 + seed)) - sound
        delays = []
        for first in range(SAMPLE_RATE // 2, sound.size - 2000, 4000):
            match = [late[first : first + 1600] @ sound[first - lag : first - lag + 1600] for lag in range(800)]
            delays.append(int(np.argmax(match)) / SAMPLE_RATE)
        assert 0.008 < min(delays) < max(delays) < 0.042
        assert 0.0003 < np.std(delays) < 0.005
        middles.append(np.mean(delays))
    assert 0.013 < min(middles) < 0.02 and 0.03 < max(middles) < 0.037


def test_a_double_has_its_level():
    sound = np.convolve(rng(6).normal(0, 1, SAMPLE_RATE), np.hanning(17), "same")  # a double's treble is a little dull
    for level_db in (-12.0, 0.0):
        late = doubled(sound, level_db, rng(1)) - sound
        assert 20 * np.log10(np.std(late) / np.std(sound)) == pytest.approx(level_db, abs=0.5)
    impulse = np.zeros(SAMPLE_RATE)
    impulse[0] = 1.0
    assert not (doubled(impulse, 0.0, rng(1)) - impulse)[:100].any()


def test_a_sound_through_its_own_vocoder_is_itself():
    sound = saw(200.0) * np.repeat(np.linspace(0.2, 1.0, 8), 2000)
    for bands in (4, 16, 28):
        out = channel_vocoder(sound, sound, bands)
        assert out.shape == sound.shape
        error = (out - sound)[800:-800]
        assert np.std(error) < 0.02 * np.std(sound)


@pytest.mark.parametrize("bands", [8, 16, 28])
def test_a_vocoder_has_the_carriers_pitch_and_the_voices_loudness(bands):
    voice = saw(200.0) * np.repeat([1.0, 0.05, 1.0, 0.05], 4000)
    out = channel_vocoder(voice, saw(310.0), bands)
    heard = amplitude(out)
    carried, own = (heard[hertz * np.arange(1, 8)] for hertz in (310, 200))
    assert np.sum(carried**2) > 100 * np.sum(own**2)
    assert np.std(out) == pytest.approx(np.std(voice), rel=1e-6)
    level = [np.std(part) for part in out.reshape(8, -1)]
    assert min(level[0], level[5]) > 6 * max(level[2], level[7])


def test_a_vocoder_has_the_voices_formants():
    noise = rng(7).normal(0, 1, SAMPLE_RATE)
    frequency = np.fft.rfftfreq(SAMPLE_RATE, 1 / SAMPLE_RATE)
    for hertz in (600, 1500, 4000):
        voice = np.fft.irfft(np.fft.rfft(noise) * np.exp(-0.5 * ((frequency - hertz) / (0.08 * hertz)) ** 2))
        power = np.abs(np.fft.rfft(channel_vocoder(voice, rng(8).normal(0, 1, SAMPLE_RATE), 24))) ** 2
        assert np.sum(power * frequency) / np.sum(power) == pytest.approx(hertz, rel=0.15)


def test_the_carrier_plays_each_bars_chord_an_octave_down():
    sound = carrier(CHORDS, 1.0, 3 * SAMPLE_RATE)
    assert not sound[2 * SAMPLE_RATE :].any()
    for bar, chord in enumerate(CHORDS):
        part = sound[bar * SAMPLE_RATE : (bar + 1) * SAMPLE_RATE] * np.hanning(SAMPLE_RATE)

        def level(pitch: float, part=part) -> float:
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            return float(np.abs(part @ np.exp(-2j * np.pi * hertz * np.arange(part.size) / SAMPLE_RATE)))

        played = {pitch - 12: level(pitch - 12) for pitch in chord}
        others = [level(pitch) for pitch in range(44, 56) if pitch not in played]
        assert min(played.values()) > 20 * max(others)
    power = np.abs(np.fft.rfft(sound[:SAMPLE_RATE] * np.hanning(SAMPLE_RATE))) ** 2
    assert power[7700:].sum() < 1e-6 * power.sum()


def test_the_carrier_ends_with_the_sound():
    assert carrier(CHORDS, 1.0, 100).shape == (100,)
    np.testing.assert_array_equal(carrier(CHORDS, 1.0, 20000), carrier(CHORDS, 1.0, 40000)[:20000])
    assert not carrier((), 1.0, 100).any()


def test_the_default_chain_does_nothing():
    sound = rng(9).normal(0, 0.1, 5000)
    before = sound.copy()
    out = apply(Chain(), sound, 0.5, CHORDS, rng())
    assert np.array_equal(out, sound)
    assert np.array_equal(sound, before)


def test_a_chain_is_its_stages_one_after_another():
    sound = saw(200.0) * 0.3
    alone = {
        "drive_db": (6.0, lambda x: saturate(x, 6.0)),
        "double_db": (-6.0, lambda x: doubled(x, -6.0, rng(1))),
        "bands": (20, lambda x: channel_vocoder(x, carrier(CHORDS, 2.0, x.size), 20)),
        "echo_db": (-10.0, lambda x: echo(x, 0.25, -10.0)),
        "wet": (0.3, lambda x: room(x, 0.3, 0.5, rng(1))),
        "tilt_db": (3.0, lambda x: tilted(x, 3.0)),
    }
    for name, (value, stage) in alone.items():
        np.testing.assert_array_equal(apply(Chain(**{name: value}), sound, 0.5, CHORDS, rng(1)), stage(sound))
    luck = rng(1)
    expected = channel_vocoder(sound, carrier(CHORDS, 2.0, sound.size), 20)
    expected = echo(tilted(doubled(saturate(expected, 6.0), -6.0, luck), 3.0), 0.25, -10.0)
    expected = room(expected, 0.3, 0.4, luck)
    np.testing.assert_array_equal(apply(EVERYTHING, sound, 0.5, CHORDS, rng(1)), expected)


@pytest.mark.parametrize("samples", [1, 2, 127, 513, 16000, 15999])
def test_any_length_stays_finite_and_as_long_and_silence_silent(samples):
    sound = rng(10).normal(0, 0.1, samples)
    before = sound.copy()
    out = apply(EVERYTHING, sound, 0.5, CHORDS, rng(1))
    assert out.shape == sound.shape
    assert np.isfinite(out).all()
    assert np.array_equal(sound, before)
    silent = apply(EVERYTHING, np.zeros(samples), 0.5, CHORDS, rng(1))
    assert silent.shape == sound.shape
    assert not silent.any()


def test_a_vocoder_without_a_carrier_is_silent():
    out = channel_vocoder(rng(11).normal(0, 1, 4000), np.zeros(4000), 16)
    assert np.isfinite(out).all() and not out.any()


def test_a_seed_is_a_sound():
    sound = saw(200.0)
    first, again, other = (apply(EVERYTHING, sound, 0.5, CHORDS, rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_another_process_makes_the_same():
    code = """
import hashlib, numpy as np
from whosings.sound.record_effects import Chain, apply
chain = Chain(drive_db=6.0, double_db=-6.0, bands=20, echo_db=-10.0, wet=0.3, room_s=0.4, tilt_db=3.0)
rng = np.random.default_rng(3)
out = apply(chain, rng.normal(0, 0.1, 16000), 0.5, ((60, 64, 67), (57, 60, 64)), rng)
print(hashlib.sha256(out.tobytes()).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    luck = rng(3)
    here = apply(EVERYTHING, luck.normal(0, 0.1, 16000), 0.5, CHORDS, luck)
    assert done.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()
