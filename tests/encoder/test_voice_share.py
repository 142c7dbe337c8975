"""What the encoder's mask says of a spectrum, for others who listen to the voice."""

import numpy as np
import pytest
import torch

from tests.conftest import RATE, singing
from whosings.config import FilterbankConfig
from whosings.encoder.voice_share import VoiceShare, on_spectrum
from whosings.spectrogram import kaldi_filterbank


@pytest.fixture(scope="module")
def share() -> VoiceShare:
    return VoiceShare()


def test_shares_are_logarithms_of_at_most_one_by_bands_and_frames(share: VoiceShare) -> None:
    said = share(torch.from_numpy(np.stack([singing(2, 1), singing(2, 2)])))
    assert said.shape == (2, 80, 198) and said.dtype == torch.float32
    assert said.min() >= -8 and said.max() <= 0


def test_level_does_not_matter(share: VoiceShare) -> None:
    wave = torch.from_numpy(singing(2))[None]
    assert torch.allclose(share(wave), share(wave * 0.25), atol=0.2)


def test_a_band_of_the_mask_lies_where_its_filter_does() -> None:
    filters = kaldi_filterbank(FilterbankConfig())
    for band in (20, 50, 75):
        said = torch.full((1, 80, 10), -8.0)
        said[:, band] = 0.0
        bins = on_spectrum(said, 11)[0, :, 5]
        assert int(bins.argmax()) == int(filters[:, band].argmax())
        assert bins.min() == pytest.approx(-8, abs=1e-4) and bins.shape == (257,)


def test_frames_have_one_middle() -> None:
    said = torch.zeros(1, 80, 98)
    said[:, :, 40] = -8.0  # samples 6400 to 6800: their middle is the centred frame 41's, but for 40 samples
    found = on_spectrum(said, 101)[0, 100]
    assert torch.flatten(torch.nonzero(found < -4)).tolist() == [41]


def test_the_voice_alone_is_more_of_the_voice(share: VoiceShare) -> None:
    """A voice in the first second, a low hum and hiss throughout: without the voice little is left."""
    rng, time = np.random.default_rng(0), np.arange(3 * RATE) / RATE
    rest = (0.05 * rng.standard_normal(time.size) + 0.1 * np.sin(2 * np.pi * 60 * time)).astype(np.float32)
    voice = singing(3)
    alone = share.alone(torch.from_numpy(voice + rest)[None])[0].numpy()
    assert alone.shape == voice.shape
    before, after = (np.corrcoef(wave, voice)[0, 1] for wave in (voice + rest, alone))
    assert after > before
