"""Demucs models: pretrained ones by name, and folders of model files in demucs' own formats."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whosings.audio import FloatArray
from whosings.errors import MissingExtraError, SeparationError, clause
from whosings.vocals.separation_model import Windows, running

if TYPE_CHECKING:
    import torch

_OVERLAP = 0.25  # of a window, as demucs itself does
_GPU_BATCH_S = 64.0  # seconds of music in a batch on a GPU; on CPUs a batch only takes memory
_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")


@dataclass(frozen=True)
class SubModel:
    """One model of a bag and its weight for the vocals."""

    model: Any
    weight: float


@dataclass(frozen=True)
class DemucsSeparator:
    """A bag of demucs models on one device; models that have no say in the vocals are left out."""

    name: str
    fingerprint: str
    sample_rate: int
    windows: Windows
    device: torch.device
    parts: tuple[SubModel, ...]

    def __call__(self, mixtures: FloatArray) -> FloatArray:
        """(batch, 2, samples) to the same shape; no longer than a window."""
        import torch
        from demucs.apply import apply_model

        with torch.inference_mode(), running(self.name):
            given = torch.from_numpy(mixtures).to(self.device)
            total = torch.zeros_like(given)
            for part in self.parts:
                stems = apply_model(part.model, given, shifts=0, split=False)
                total += part.weight * stems[:, part.model.sources.index("vocals")]
            vocals: FloatArray = (total / sum(part.weight for part in self.parts)).cpu().numpy()
        return vocals


def open_demucs(name: str, device: torch.device) -> DemucsSeparator:
    """Load a pretrained bag (downloaded once by demucs), or the models in a folder.

    A folder holds a bag file (``NAME.yaml``, with ``models``, and if need be ``weights`` and ``segment``) and a file
    for each model, ``SIGNATURE.safetensors`` or ``SIGNATURE[-CHECKSUM].th``; or one model file alone. Safetensors come
    first. Files are read as data: a ``.th`` file that would run code is refused.

    Raises:
        SeparationError: unknown name, no network, a damaged file, a model without vocals.
        MissingExtraError: demucs is not installed.
    """
    MissingExtraError.require("demucs", "separating vocals", "separate")
    folder = Path(name)
    with _one_sentence(name):
        if folder.is_dir():
            model = _load_folder(folder)
        elif "/" in name or "\\" in name:  # demucs would take it for somebody's model on a hub, and run what it says
            raise SeparationError(name, "no such folder", "name a folder of model files or a pretrained model")
        else:
            model = _load_pretrained(name)
    parts = _parts(name, model)
    rate = int(model.samplerate)
    length = min(int(part.model.segment * rate) for part in parts)
    batch = 1 if device.type == "cpu" else max(1, int(_GPU_BATCH_S * rate / length))
    windows = Windows(length, length - int((1 - _OVERLAP) * length), batch=batch)
    fingerprint = _fingerprint(parts, windows)
    for part in parts:
        part.model.to(device).eval()
    return DemucsSeparator(f"demucs:{name}", fingerprint, rate, windows, device, parts)


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Whatever a loader meets, as one typed error."""
    try:
        yield
    except (SeparationError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # demucs ends the process where a quantised model needs another package
        problem = f"cannot be loaded ({clause(error)})"
        raise SeparationError(f"demucs:{name}", problem, "check the name, the network or the model files") from error


def _load_pretrained(name: str) -> Any:
    from demucs.hf import hf_repo_name
    from demucs.pretrained import REMOTE_ROOT, get_model

    known = sorted(path.stem for path in REMOTE_ROOT.glob("*.yaml"))
    if name not in known:
        raise SeparationError(f"demucs:{name}", "no such pretrained model", f"choose from {', '.join(known)}")
    try:
        return get_model(name)
    except (OSError, RuntimeError) as error:
        raise SeparationError(
            f"demucs:{name}",
            f"cannot be downloaded, and is not in the cache ({type(error).__name__})",
            f"check the network, or copy {hf_repo_name(name)} from the hub to a folder and name that",
        ) from error


def _load_folder(folder: Path) -> Any:
    import yaml
    from demucs.apply import BagOfModels

    bags = sorted(folder.glob("*.yaml"))
    if len(bags) > 1:
        raise SeparationError(folder, f"holds {len(bags)} bags of models", "leave one .yaml file in it")
    if not bags:
        names = {_signature(path) for path in folder.iterdir() if path.suffix in (".safetensors", ".th")}
        if len(names) != 1:
            raise SeparationError(
                folder, f"holds {len(names) or 'no'} models and no bag", "add a .yaml file that lists the models"
            )
        return BagOfModels([_load_file(folder, names.pop())])
    bag = yaml.safe_load(bags[0].read_text(encoding="utf-8"))
    if not isinstance(bag, dict) or not isinstance(bag.get("models"), list) or not bag["models"]:
        raise SeparationError(bags[0], "lists no models", "write models: [SIGNATURE, ...] in it")
    models = [_load_file(folder, str(signature)) for signature in bag["models"]]
    return BagOfModels(models, bag.get("weights"), bag.get("segment"))


def _signature(path: Path) -> str:
    return path.stem.rsplit("-", 1)[0] if path.suffix == ".th" else path.stem


def _load_file(folder: Path, signature: str) -> Any:
    tensors = folder / f"{signature}.safetensors"
    if tensors.is_file():
        from demucs.hf import load_safetensors_model

        _check_classes(tensors)
        return load_safetensors_model(tensors)
    pickles = [path for path in sorted(folder.glob("*.th")) if _signature(path) == signature]
    if len(pickles) != 1:
        problem = "no such model file" if not pickles else f"there are {len(pickles)} files of this model"
        raise SeparationError(tensors, problem, "put one there")
    return _load_pickle(pickles[0])


def _check_classes(path: Path) -> None:
    """Demucs calls the class that a file's metadata names: it must be one of demucs' own models."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
    named = [metadata.get("klass"), *_named_classes(json.loads(metadata.get("structure", "null")))]
    strange = [str(each) for each in named[:1] if each not in _CLASSES]
    strange += [str(each) for each in named[1:] if str(each).split(".")[0] not in ("demucs", "diffq")]
    if strange:
        raise SeparationError(path, f"is not a demucs model (class {strange[0]})", "use a file that demucs has saved")


def _named_classes(node: Any) -> Iterator[str]:
    """Classes that the structure of a quantised state refers to."""
    if isinstance(node, dict) and "_class" in node:
        yield node["_class"]
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _named_classes(inner)


def _load_pickle(path: Path) -> Any:
    from fractions import Fraction
    from importlib import import_module
    from pickle import UnpicklingError

    import torch
    from demucs.repo import check_checksum
    from demucs.states import load_model

    if "-" in path.stem:
        check_checksum(path, path.stem.rsplit("-", 1)[1])
    places = [name.rsplit(".", 1) for name in _CLASSES]
    allowed: list[Any] = [Fraction, *(getattr(import_module(module), name) for module, name in places)]
    try:
        with torch.serialization.safe_globals(allowed):
            return load_model(torch.load(path, "cpu", weights_only=True))  # type: ignore[no-untyped-call]
    except UnpicklingError as error:
        raise SeparationError(
            path, "is damaged, or holds more than demucs weights and could run code", "use a .safetensors file"
        ) from error


def _parts(name: str, bag: Any) -> tuple[SubModel, ...]:
    if "vocals" not in bag.sources or bag.audio_channels != 2:
        raise SeparationError(f"demucs:{name}", "has no vocals, or is not stereo", "use another model")
    if not hasattr(bag, "models"):
        return (SubModel(bag, 1.0),)
    column = bag.sources.index("vocals")
    weights = [float(row[column]) for row in bag.weights]
    parts = tuple(SubModel(model, weight) for model, weight in zip(bag.models, weights, strict=True) if weight)
    if not parts:
        raise SeparationError(f"demucs:{name}", "gives the vocals no weight", "correct the weights in its .yaml file")
    return parts


def _fingerprint(parts: tuple[SubModel, ...], windows: Windows) -> str:
    digest = hashlib.sha256(f"demucs 1 {windows.length} {windows.overlap}".encode())
    for part in parts:
        arguments = getattr(part.model, "_init_args_kwargs", ())
        digest.update(f"{type(part.model).__name__} {part.weight} {arguments!r}".encode())
        for key, tensor in sorted(part.model.state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()
