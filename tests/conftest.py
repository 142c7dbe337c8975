"""What tests share: the ``--slow`` switch, one thread, recordings in every format, a small choir, a tiny encoder."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from tests.annotation_service import FakeClock, Service, serving
from tests.object_server import Bucket, FaultyStore
from tests.object_server import serving as object_server_of_tests
from whosings import cli, storage_faults
from whosings.calibration_fitting import calibrate
from whosings.catalogue.manifest import Manifest, read_manifest
from whosings.choir import build as build_of_choirs
from whosings.choir.build import write_choir
from whosings.choir.parametric import draw_voice, sing
from whosings.choir.plan import PRESETS, Part, Preset
from whosings.choir.score import VOWELS, Note, Score
from whosings.config import MODELS
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import build, rewrite_card, save_checkpoint
from whosings.parallel import each

RATE = 16_000
HAS_AV = importlib.util.find_spec("av") is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run tests marked slow")
    parser.addoption("--long", action="store_true", help="also run tests marked long")


def pytest_configure() -> None:
    # On a busy machine two threads are many times slower than one.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for kind in ("slow", "long"):
        if not config.getoption(f"--{kind}"):
            for item in items:
                if kind in item.keywords:
                    item.add_marker(pytest.mark.skip(reason=f"needs --{kind}"))


@dataclass(frozen=True)
class Recording:
    """A file and the signal it was made from: float32 (frames, channels) at ``rate``."""

    path: Path
    rate: int
    source: NDArray[np.float32]

    @property
    def duration_s(self) -> float:
        return len(self.source) / self.rate


def music(rate: int, channels: int, duration_s: float) -> NDArray[np.float32]:
    """Sweeping tones with overtones and noise bursts, another tune on each channel: (frames, channels)."""
    rng = np.random.default_rng(rate + channels)
    time = np.arange(round(rate * duration_s)) / rate
    voices = []
    for number in range(channels):
        pitch = 180 * 1.35**number * (1 + 0.3 * np.sin(2 * np.pi * 0.23 * time + number))
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        tone = sum(np.sin(k * phase) / k for k in range(1, 8))
        burst = rng.standard_normal(time.size) * ((time + 0.3 * number) % 1.7 < 0.15)
        voices.append(tone * (0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * time + number)) + 0.4 * burst)
    mixed = np.stack(voices, axis=1)
    return (0.9 * mixed / np.abs(mixed).max()).astype(np.float32)


def singing(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """A generated singer without a rest, (samples,) at 16 kHz: every piece of it is heard as singing."""
    rng = np.random.default_rng([4, seed])
    voice = draw_voice(rng)
    pitches = voice.centre + rng.integers(-4, 5, round(seconds / 0.5) + 1)
    vowels = [VOWELS[int(rng.integers(len(VOWELS)))] for _ in pitches]
    notes = [Note(0.5 * n, 0.5, float(pitch), vowels[n], "n") for n, pitch in enumerate(pitches)]
    bars = -(-len(notes) // 4)
    return sing(voice, Score(tuple(notes), ((60, 64, 67),) * bars, 0.5), rng)[: round(seconds * RATE)]


# name -> (rate, channels, seconds, encoder's arguments); the name's ending is the file's.
_KINDS: dict[str, tuple[int, int, float, dict[str, Any]]] = {
    "pcm16.wav": (44100, 2, 10, {"subtype": "PCM_16"}),
    "pcm24.wav": (44100, 2, 10, {"subtype": "PCM_24"}),
    "float.wav": (44100, 2, 10, {"subtype": "FLOAT"}),
    "cd.flac": (44100, 2, 10, {}),
    "cd.aiff": (44100, 2, 10, {}),
    "cbr.mp3": (44100, 2, 10, {"bitrate_mode": "CONSTANT", "compression_level": 0.4}),
    "vbr.mp3": (44100, 2, 10, {"bitrate_mode": "VARIABLE", "compression_level": 0.4}),
    "cd.ogg": (44100, 2, 10, {"subtype": "VORBIS"}),
    "full.opus": (48000, 2, 10, {"format": "OGG", "subtype": "OPUS"}),
    # FFmpeg's encoder codes some bands as "noise", which a decoder draws anew: off, but for one file.
    "plain.m4a": (44100, 2, 10, {"aac_pns": "0"}),
    "noise.m4a": (44100, 2, 5, {}),
    "raw.aac": (44100, 2, 7, {"aac_pns": "0"}),
    "video.mka": (44100, 2, 5, {"aac_pns": "0"}),
    "phone.wav": (8000, 1, 10, {}),
    "radio.mp3": (22050, 2, 10, {}),
    "low.mp3": (8000, 1, 10, {}),
    "low.ogg": (11025, 2, 10, {"subtype": "VORBIS"}),
    "same.flac": (16000, 1, 10, {}),
    "same.mp3": (16000, 2, 10, {"bitrate_mode": "VARIABLE", "compression_level": 0.4}),
    "same.ogg": (16000, 2, 10, {"subtype": "VORBIS"}),
    "dat.flac": (48000, 2, 5, {}),
    "studio.wav": (96000, 2, 5, {"subtype": "PCM_24"}),
    "studio.ogg": (96000, 1, 10, {"subtype": "VORBIS"}),
    "phone.m4a": (8000, 1, 10, {"aac_pns": "0"}),
    "odd.flac": (44056, 2, 5, {}),
    "surround.wav": (44100, 6, 5, {}),
    "surround.flac": (48000, 6, 5, {}),
}
LOSSLESS = {
    name: 2.0**-23 if "24" in name or "studio" in name else 2.0**-15
    for name in _KINDS
    if name.endswith(("wav", "flac", "aiff"))
}
"""Files whose samples survive encoding, and by how much they may differ (a step of the integers)."""
LOSSY = sorted(set(_KINDS) - set(LOSSLESS))
NEEDS_AV = (".m4a", ".aac", ".mka")


def encode_with_av(path: Path, source: NDArray[np.float32], rate: int, **options: str) -> None:
    """AAC at 192 kbit/s in the container that the ending names."""
    import av

    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as container:
        stream = container.add_stream("aac", rate=rate, options=options)
        stream.layout = "mono" if source.shape[1] == 1 else "stereo"
        stream.bit_rate = 192_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(source.T), "fltp", stream.layout.name)
        frame.sample_rate, frame.pts = rate, 0
        for part in (frame, None):
            for packet in stream.encode(part):
                container.mux(packet)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Recording]:
    """``recording("cbr.mp3")``: made at the first request, kept for the session; never write to it."""
    folder = tmp_path_factory.mktemp("recordings")
    made: dict[str, Recording] = {}

    def get(name: str) -> Recording:
        if name not in made:
            rate, channels, duration_s, arguments = _KINDS[name]
            source, path = music(rate, channels, duration_s), folder / name
            if path.suffix in NEEDS_AV:
                if not HAS_AV:
                    pytest.skip("needs PyAV")
                encode_with_av(path, source, rate, **arguments)
            else:
                soundfile.write(path, source, rate, **arguments)
            made[name] = Recording(path, rate, source)
        return made[name]

    return get


@pytest.fixture(scope="session")
def choir_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of six generated singers with three songs of twelve seconds: ``songs/``, ``stems/``, ``choir.parquet``."""
    folder = tmp_path_factory.mktemp("choir")
    write_choir(folder, singers=6, songs=3, duration_s=12.0, seed=1)
    return folder


@pytest.fixture(scope="session")
def small_choir(choir_folder: Path) -> Manifest:
    """The manifest of ``choir_folder``."""
    return read_manifest(choir_folder / "choir.parquet")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory, small_choir: Manifest) -> SimpleNamespace:
    """An untrained but calibrated tiny encoder: ``.folder`` and ``.embedder``."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, MODELS["tiny"], build(MODELS["tiny"]), {"name": "tiny"})
    tracks = list(TrackEmbedder(folder).many([track.path for track in small_choir.tracks]))
    found = calibrate([t.vectors for t in tracks], [t.singer_id for t in small_choir.tracks], "a small choir")
    rewrite_card(folder, {"name": "tiny", "calibration": found.to_card()})
    return SimpleNamespace(folder=folder, embedder=TrackEmbedder(folder))


@pytest.fixture
def run(capsys):
    """Run a command line; returns (exit code, standard output, standard error)."""

    def call(*words):
        capsys.readouterr()
        try:
            cli.main([str(word) for word in words])
            code = 0
        except SystemExit as error:
            code = error.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="session")
def object_server() -> Iterator[FaultyStore]:
    """One S3 server for all tests, behind a proxy that fails when it is told to."""
    pytest.importorskip("moto", reason="needs an S3 server")
    pytest.importorskip("s3fs", reason="needs an S3 client")
    with object_server_of_tests() as server:
        yield server


@pytest.fixture
def bucket(object_server: FaultyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """A new bucket, to which the environment leads; requests are tried again at once."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    given = {"ENDPOINT_URL": object_server.url, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "not-to-be-shown"}
    given |= {"REGION": "us-east-1", "DEFAULT_REGION": "us-east-1", "EC2_METADATA_DISABLED": "true"}
    given |= {"CONFIG_FILE": str(tmp_path / "none"), "SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(storage_faults, "_FIRST_WAIT_S", 0.01)
    object_server.reset()
    yield Bucket.made(object_server)
    object_server.reset()


@pytest.fixture
def choir_in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choirs are made here: processes of their own take seconds to start, and have tests of their own."""
    monkeypatch.setattr(build_of_choirs, "each", lambda work, jobs, workers: each(work, jobs, 0))


@pytest.fixture
def quick_choir(choir_in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset ``tiny`` is smaller still: twelve tracks."""
    preset = Preset("tiny", Part(3, 3), Part(1, 1), Part(0, 0), 2, 1, duration_s=4.0)
    monkeypatch.setitem(PRESETS, "tiny", preset)


@pytest.fixture
def service() -> Iterator[Service]:
    """A local web service that answers as a test tells it."""
    with serving() as service:
        yield service


@pytest.fixture
def clock() -> FakeClock:
    """Time that passes only when somebody sleeps."""
    return FakeClock()
