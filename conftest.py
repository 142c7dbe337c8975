"""Fixtures that several test modules share."""

from types import SimpleNamespace

import pytest
import torch

from whosings.calibration import calibrate
from whosings.choir.songs import write_choir
from whosings.config import MODELS
from whosings.embedding import TrackEmbedder
from whosings.encoder.checkpoint import build, rewrite_card, save_checkpoint


@pytest.fixture(scope="session")
def choir_folder(tmp_path_factory):
    """Folder of six generated singers with three songs of twelve seconds: ``songs/``, ``stems/``, ``choir.parquet``."""
    folder = tmp_path_factory.mktemp("choir")
    write_choir(folder, singers=6, songs=3, duration_s=12.0, seed=1)
    return folder


@pytest.fixture(scope="session")
def small_choir(choir_folder):
    """The manifest of ``choir_folder``."""
    from whosings.catalogue.manifest import read_manifest

    return read_manifest(choir_folder / "choir.parquet")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, small_choir):
    """An untrained but calibrated tiny encoder: ``.folder`` and ``.embedder``."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    save_checkpoint(folder, MODELS["tiny"], build(MODELS["tiny"]), {"name": "tiny"})
    tracks = list(TrackEmbedder(folder).many([track.path for track in small_choir.tracks]))
    found = calibrate([t.vectors for t in tracks], [t.singer_id for t in small_choir.tracks], "a small choir")
    rewrite_card(folder, {"name": "tiny", "calibration": found.to_card()})
    return SimpleNamespace(folder=folder, embedder=TrackEmbedder(folder))
