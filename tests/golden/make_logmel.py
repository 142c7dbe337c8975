"""Make ``logmel.npz``: what torchaudio computes for a seeded signal. Run once: ``python tests/golden/make_logmel.py``.

It needs torchaudio (``pip install --no-deps torchaudio``), which the package and its tests do not.
"""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

SEED, RATE, SAMPLES = 7, 16000, 96000
EVERY = 4
"""Every fourth frame is kept: enough to see each window position, small enough for a repository."""


def signal() -> np.ndarray:
    """Six seconds of noise that swells and fades, the second channel 40 dB quieter and silent from 2 to 3 s."""
    noise = np.random.default_rng(SEED).standard_normal((2, SAMPLES)).astype(np.float32)
    swell = np.sin(np.pi * np.arange(SAMPLES) / SAMPLES).astype(np.float32)
    noise *= swell * np.array([[0.3], [0.003]], np.float32)
    noise[1, 2 * RATE : 3 * RATE] = 0
    return noise


def reference(waveforms: torch.Tensor) -> torch.Tensor:
    """Log-mel by torchaudio; the centred frame past the end is dropped."""
    try:
        import torchaudio
    except OSError:
        # A wheel built for another torch: its native parts do not load, and the transforms need none of them.
        for name in [name for name in sys.modules if name.startswith("torchaudio")]:
            del sys.modules[name]
        stub = ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
        stub.fail_if_no_align = lambda function: function
        sys.modules[stub.__name__] = stub
        import torchaudio
    mel = torchaudio.transforms.MelSpectrogram(sample_rate=RATE, n_fft=800, hop_length=400, n_mels=128)
    return torch.log(mel(waveforms) + 1e-10)[..., :-1]


if __name__ == "__main__":
    frames = reference(torch.from_numpy(signal()))[..., ::EVERY].numpy()
    np.savez_compressed(Path(__file__).with_name("logmel.npz"), frames=frames)
    print(frames.shape)
