"""Checkpoints: safetensors + config + fingerprint; loaded by name, path or from a hub; never pickle.

A checkpoint is a folder with ``model.safetensors``, which describes itself (its header holds the configuration and the
card), and ``config.json``, a copy of that header for people and for hubs. Only the former is read, so that one rename
makes a save atomic.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whosings.config import CampplusConfig, FilterbankConfig, ModelConfig, TransformerConfig
from whosings.encoder.campplus import Campplus
from whosings.encoder.convolutional import ConvolutionalEncoder
from whosings.encoder.transformer import SpectrogramTransformer
from whosings.errors import CheckpointError, ConfigError
from whosings.files import write_atomic
from whosings.settings import parse
from whosings.tensor_file import TensorFile, opened, write_tensors

FORMAT = "whosings-encoder-1"
DEFAULT = "default"
"""Name of the encoder that is taken unless another one is named."""
SHIPPED = (DEFAULT, "fast")
"""Names of the encoders that ship with the package; ``fast`` is for catalogues."""

_HUB = "hub:"  # said outright, so that a mistyped path never leaves the machine
_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_TRAIN_HINT = "make one with: whosings train"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded encoder.

    Attributes:
        encoder: in evaluation mode, float32: spectrograms (batch, channels, mel_bins, frames) -> (batch, dimensions).
        config: what it computes.
        fingerprint: SHA-256 over configuration and weights; embeddings of different fingerprints must not be compared.
        card: free-form facts: name, pairs, data, metrics, licence, calibration.
    """

    encoder: nn.Module
    config: ModelConfig
    fingerprint: str
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What people call it, for messages."""
        return str(self.card.get("name", "without a name"))

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return self.config.encoder.embedding


def build(config: ModelConfig) -> nn.Module:
    """A new encoder with random weights; seed torch first for a repeatable one."""
    encoder, front_end = config.encoder, config.front_end
    if isinstance(encoder, CampplusConfig):
        assert isinstance(front_end, FilterbankConfig)  # a configuration sees to that
        return Campplus(encoder, front_end)
    assert not isinstance(front_end, FilterbankConfig)
    if isinstance(encoder, TransformerConfig):
        return SpectrogramTransformer(encoder, front_end)
    return ConvolutionalEncoder(encoder, front_end)


def save_checkpoint(
    folder: str | Path, config: ModelConfig, encoder: nn.Module, card: dict[str, Any], half: bool = False
) -> Checkpoint:
    """Write a checkpoint, replacing one that is there in a single rename.

    Args:
        half: store float16 weights, half the size.
    """
    dtype = torch.float16 if half else torch.float32
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in encoder.state_dict().items()}
    model = config.model_dump(mode="json")
    header = {"format": FORMAT, "fingerprint": _fingerprint(model, tensors), "model": model, "card": card}
    _write(Path(folder), header, tensors)
    return load_checkpoint(folder)


def load_checkpoint(name: str | Path = DEFAULT, device: str | torch.device = "cpu") -> Checkpoint:
    """Load an encoder.

    Args:
        name: ``"default"`` or ``"fast"``; a checkpoint's folder or its ``model.safetensors``; or
            ``hub:owner/name``, which may ask the network.

    Raises:
        CheckpointError: missing, damaged, or a checkpoint of something else.
    """
    path = _locate(name)
    file = _read(path)
    try:
        config = parse(ModelConfig, file.header["model"], str(path))
    except ConfigError as error:
        problem = f"is a checkpoint of another program's model ({error.problem})"
        raise CheckpointError(path, problem, "update whosings, or name another checkpoint") from error
    fingerprint = _fingerprint(file.header["model"], file.tensors)
    if fingerprint != file.header["fingerprint"]:
        raise CheckpointError(path, "does not match its own fingerprint", "copy or download it again")
    encoder = build(config)
    try:
        encoder.load_state_dict({key: value.float() for key, value in file.tensors.items()})
    except RuntimeError as error:
        raise CheckpointError(path, "holds weights of another architecture than it names", _TRAIN_HINT) from error
    return Checkpoint(encoder.to(device).eval().requires_grad_(False), config, fingerprint, file.header["card"])


def rewrite_card(folder: str | Path, card: dict[str, Any]) -> None:
    """Give a checkpoint another card; its weights, and so its fingerprint, stay.

    Raises:
        CheckpointError: no checkpoint in that folder.
    """
    file = _read(local_folder(folder) / _WEIGHTS)
    _write(Path(folder), {**file.header, "card": card}, file.tensors)


def copy_with_card(name: str | Path, folder: str | Path, card: dict[str, Any]) -> None:
    """Copy a checkpoint into a folder, with another card; weights and fingerprint stay.

    Args:
        name: as ``load_checkpoint`` takes it.

    Raises:
        CheckpointError: no such checkpoint, or the folder holds another one.
    """
    file, there = _read(_locate(name)), Path(folder) / _WEIGHTS
    if there.exists() and _read(there).header["fingerprint"] != file.header["fingerprint"]:
        raise CheckpointError(folder, "holds another checkpoint", "name an empty folder")
    _write(Path(folder), {**file.header, "card": card}, file.tensors)


def local_folder(folder: str | Path) -> Path:
    """The folder of a checkpoint that can be changed: no name, no hub id.

    Raises:
        CheckpointError: no checkpoint in that folder.
    """
    if not (Path(folder) / _WEIGHTS).is_file():
        raise CheckpointError(folder, "is not a checkpoint's folder", f"name a folder with {_WEIGHTS}")
    return Path(folder)


def _write(folder: Path, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    text = write_tensors(folder / _WEIGHTS, header, tensors, indent=2, sort_keys=True, allow_nan=False)
    write_atomic(folder / _CONFIG, text + "\n")


def _read(path: Path) -> TensorFile:
    foreign = CheckpointError(path, "is a checkpoint of another program's model", _TRAIN_HINT)
    damaged = CheckpointError(path, "is damaged or not a safetensors file", "copy or download it again")
    with opened(path, FORMAT, foreign, damaged) as file:
        if not isinstance(file.header["card"], dict):
            raise foreign
        return TensorFile({key: file.header[key] for key in ("format", "fingerprint", "model", "card")}, file.tensors)


def _locate(name: str | Path) -> Path:
    if str(name) in SHIPPED:
        path = Path(str(files("whosings"))) / "weights" / str(name) / _WEIGHTS
        if not path.exists():
            raise CheckpointError(name, "this encoder does not ship with this installation", _TRAIN_HINT)
        return path
    if str(name).startswith(_HUB):
        return _from_hub(str(name).removeprefix(_HUB))
    path = Path(name)
    if path.is_dir():
        path = path / _WEIGHTS
    if path.is_file():
        return path
    raise CheckpointError(name, "no checkpoint there", f"name a folder with {_WEIGHTS}, or {_TRAIN_HINT}")


def _from_hub(repository: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, _WEIGHTS))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            repository, "is not cached, and no hub answers", "check the name and the network"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise CheckpointError(repository, "is not a model on the hub", "check the name") from error


def _fingerprint(model: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """``model`` as written: a setting that this version adds does not change what an older one wrote."""
    what = {part: model.get(part) for part in ("front_end", "encoder")}
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
