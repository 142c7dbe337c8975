"""Log-mel front end: against torchaudio's numbers, against a naive loop, and ``conform``."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tests.golden.make_logmel import EVERY, signal
from whosings.config import MODELS, FilterbankConfig, FrontEndConfig
from whosings.spectrogram import Filterbank, LogMel, conform, htk_filterbank, in_channels

PAPER = FrontEndConfig()


def test_equals_torchaudio() -> None:
    golden = np.load(Path(__file__).parents[1] / "golden" / "logmel.npz")["frames"]
    got = LogMel(PAPER)(torch.from_numpy(signal())[None])[0, ..., ::EVERY].numpy()
    assert golden.shape == (2, 128, 60)
    # A ten-thousandth of a logarithm is a ten-thousandth of the energy.
    assert_allclose(got, golden, rtol=1e-4, atol=1e-4)
    # The silent second is the offset's logarithm, so the offset and the base of the logarithm are right.
    assert_allclose(got[1, :, 24:28], np.log(1e-10), rtol=1e-6)


def naive(samples: np.ndarray, config: FrontEndConfig) -> np.ndarray:
    """One channel in double precision, one frame and one filter at a time."""
    size, hop, rate = config.fft_size, config.hop, config.sample_rate
    padded = np.pad(samples.astype(np.float64), size // 2, mode="reflect")
    window = np.array([0.5 - 0.5 * np.cos(2 * np.pi * n / size) for n in range(size)])

    def mel(hertz: float) -> float:
        return 2595 * np.log10(1 + hertz / 700)

    corners = [700 * (10 ** (mel(rate / 2) * k / (config.mel_bins + 1) / 2595) - 1) for k in range(config.mel_bins + 2)]
    columns = []
    for frame in range(len(samples) // hop):
        power = np.abs(np.fft.rfft(padded[frame * hop : frame * hop + size] * window)) ** 2
        hertz = np.arange(len(power)) * rate / size
        energies = [
            power @ np.interp(hertz, [low, peak, high], [0, 1, 0])
            for low, peak, high in zip(corners, corners[1:], corners[2:], strict=False)
        ]
        columns.append(np.log(np.array(energies) + config.log_offset))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(
    "config", [PAPER, FrontEndConfig(fft_size=512, hop=160, mel_bins=40, log_offset=1e-6)], ids=["paper", "other"]
)
def test_equals_a_naive_loop(config: FrontEndConfig) -> None:
    samples = signal()[:1, 30000:38000]
    got = LogMel(config)(torch.from_numpy(samples)[None])[0, 0].numpy()
    assert_allclose(got, naive(samples[0], config), rtol=1e-4, atol=1e-4)


def test_filters_are_triangles_that_add_up_to_one() -> None:
    filters = htk_filterbank(800, 128, 16000).numpy()
    assert filters.shape == (401, 128) and filters.min() == 0 and filters.max() <= 1
    peaks = filters.argmax(axis=0)
    assert (np.diff(peaks) >= 0).all() and peaks[-1] > 390
    # Neighbours overlap: between the first peak and the last, every bin counts once in all.
    assert_allclose(filters.sum(axis=1)[peaks[0] + 1 : peaks[-1]], 1, atol=1e-4)


@pytest.mark.parametrize("samples", [800, 16000, 96000, 96399])
def test_shapes(samples: int) -> None:
    got = LogMel(PAPER)(torch.zeros(3, 2, samples))
    assert got.shape == (3, 2, 128, samples // 400)
    assert got.dtype == torch.float32
    if samples == 96000:
        assert (PAPER.samples, PAPER.mel_bins, PAPER.frames) == (samples, *got.shape[2:]) == (96000, 128, 240)


def test_a_batch_equals_its_items() -> None:
    waveforms = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 2, 8000)).astype(np.float32))
    front = LogMel(PAPER)
    together = front(waveforms)
    for number in range(4):
        for channel in range(2):
            alone = front(waveforms[number : number + 1, channel : channel + 1])
            torch.testing.assert_close(together[number, channel], alone[0, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stays_in_single_precision_under_autocast(dtype: torch.dtype) -> None:
    waveforms = torch.from_numpy(signal())[None, :, :16000]
    front = LogMel(PAPER)
    outside = front(waveforms)
    with torch.autocast("cpu", dtype=dtype):
        inside = front(waveforms)
        control = waveforms[0] @ waveforms[0].T
    assert control.dtype == dtype  # autocast was on
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


def test_half_precision_input_is_widened() -> None:
    waveforms = torch.from_numpy(signal())[None, :, :16000].half()
    assert torch.equal(LogMel(PAPER)(waveforms), LogMel(PAPER)(waveforms.float()))


def test_buffers_are_no_part_of_a_checkpoint() -> None:
    assert LogMel(PAPER).state_dict() == {}


def test_gradients_reach_the_waveform() -> None:
    waveforms = torch.from_numpy(signal())[None, :1, 40000:48000].requires_grad_()
    LogMel(PAPER)(waveforms).sum().backward()
    assert waveforms.grad is not None and torch.isfinite(waveforms.grad).all() and waveforms.grad.abs().max() > 0


# conform

RAW = FrontEndConfig(channels=2, segment_s=1.0, peak_normalise=False)
MONO = FrontEndConfig(channels=1, segment_s=1.0, peak_normalise=False)


def test_conform_duplicates_mono() -> None:
    samples = np.random.default_rng(0).standard_normal((1, 16000)).astype(np.float32)
    got = conform(samples, RAW)
    assert got.shape == (2, 16000)
    assert np.array_equal(got[0], samples[0]) and np.array_equal(got[1], samples[0])


def test_conform_averages_stereo() -> None:
    samples = np.stack([np.full(16000, 0.25), np.full(16000, -0.75)]).astype(np.float32)
    got = conform(samples, MONO)
    assert got.shape == (1, 16000) and np.array_equal(got, np.full((1, 16000), -0.25, np.float32))


def test_conform_keeps_stereo() -> None:
    samples = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32)
    assert np.array_equal(conform(samples, RAW), samples)


def test_conform_repeats_short_segments() -> None:
    samples = np.arange(1, 7001, dtype=np.float32)[None]
    got = conform(samples, MONO)[0]
    assert got.shape == (16000,)
    assert np.array_equal(got, np.arange(16000) % 7000 + 1)


def test_conform_cuts_long_segments() -> None:
    samples = np.arange(50000, dtype=np.float32)[None]
    assert np.array_equal(conform(samples, MONO)[0], np.arange(16000))


@pytest.mark.parametrize("shape", [(48_000,), (1, 0), (1, 1, 48_000)])
def test_conform_refuses_what_has_no_channels(shape: tuple[int, ...]) -> None:
    """A plain row of samples would be averaged to one sample, and embeddings of all recordings be the same."""
    with pytest.raises(ValueError, match="is not \\(channels, samples\\)"):
        conform(np.ones(shape, np.float32), RAW)


def test_conform_scales_one_peak_for_both_channels() -> None:
    config = FrontEndConfig(channels=2, segment_s=1.0)
    samples = np.zeros((2, 16000), np.float32)
    samples[0, 5], samples[1, 9] = 0.1, -0.4
    got = conform(samples, config)
    assert got.dtype == np.float32
    assert (got[0, 5], got[1, 9]) == (pytest.approx(0.25), -1.0)


def test_conform_leaves_silence_silent() -> None:
    got = conform(np.zeros((1, 500), np.float32), FrontEndConfig())
    assert got.shape == (2, 96000) and not got.any()


@settings(max_examples=50, deadline=None)
@given(
    length=st.integers(1, 120_000),
    given_channels=st.sampled_from([1, 2]),
    name=st.sampled_from(sorted(MODELS)),
    level=st.floats(1e-6, 1e3),
)
def test_conform_always_fits_and_never_writes_to_its_input(
    length: int, given_channels: int, name: str, level: float
) -> None:
    config = MODELS[name].front_end
    samples = (level * np.sin(np.arange(given_channels * length) + 1.0)).astype(np.float32).reshape(given_channels, -1)
    before = samples.copy()
    got = conform(samples, config)
    assert got.shape == (config.channels, config.samples) and got.dtype == np.float32
    if config.peak_normalise:
        assert np.abs(got).max() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(samples, before)


SIGNALS = {
    "noise": lambda rng, n: 0.1 * rng.normal(size=n),
    "tones": lambda rng, n: sum(0.1 * np.sin(2 * np.pi * f * np.arange(n) / 16000) for f in (110, 220, 1330, 7777)),
    "loud": lambda rng, n: np.sign(np.sin(np.arange(n) / 20)) * 0.99,
    "offset": lambda rng, n: 0.3 + 0.01 * rng.normal(size=n),
}


@pytest.mark.parametrize("samples", [400, 559, 560, 16_000])
@pytest.mark.parametrize("signal", SIGNALS)
def test_filterbank_is_kaldis(signal, samples):
    kaldi = pytest.importorskip("kaldi_native_fbank")
    wave = np.asarray(SIGNALS[signal](np.random.default_rng(samples), samples), np.float32)
    options = kaldi.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    online = kaldi.OnlineFbank(options)
    online.accept_waveform(16_000, (wave * 32768).tolist())
    wanted = np.stack([online.get_frame(number) for number in range(online.num_frames_ready)])
    got = Filterbank(FilterbankConfig())(torch.from_numpy(wave)[None, None])[0, 0].T.numpy()
    assert got.shape == wanted.shape
    # Both compute in float32: where a bin is far under the loudest, what is left of it is rounding.
    assert np.abs(got - wanted)[wanted > wanted.max() - 10].max() < 1e-4
    assert np.abs(got - wanted).max() < 0.1


def test_filterbank_has_as_many_frames_as_its_configuration_says():
    config = FilterbankConfig(segment_s=1.3)
    assert Filterbank(config)(torch.zeros(2, 1, config.samples)).shape == (2, 1, 80, config.frames)
    assert Filterbank(config)(torch.ones(1, 1, 30)).shape == (1, 1, 80, 1)


@pytest.mark.parametrize("channels, wanted", [(1, [[2.0, 3.0]]), (2, [[1.0, 2.0], [3.0, 4.0]])])
def test_channels_are_averaged_or_kept(channels, wanted):
    stereo = np.array([[1, 2], [3, 4]], np.float32)
    assert in_channels(stereo, channels).tolist() == wanted
    assert in_channels(stereo[:1], channels).tolist() == [[1, 2]] * channels
