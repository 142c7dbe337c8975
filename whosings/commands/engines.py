"""Options that say who works, for verbs with much to do: processes of this machine, or a cluster."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO, cast

import typer

from whosings.parallel import Workers

WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Processes, of this machine or of the cluster; 0 works in this process. Unless given, all cores; embed "
        "and evaluate work in this process where there is no cluster.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    Literal["local", "ray"], typer.Option("--engine", help="Who works: this machine, or a Ray cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="With --engine ray: the cluster's HOST:PORT, or auto for the one this machine is in; begins one unless "
        "given.",
        show_default=False,
    ),
]
GpusOption = Annotated[
    float,
    typer.Option(
        "--gpus", min=0, help="With --engine ray: GPUs of each process that holds a model, such as 0.25; 0 for none."
    ),
]

_MODELS = ("mfcc", "resemblyzer", "demucs", "spleeter", "none")  # that are no files


def open_workers(
    engine: Literal["local", "ray"],
    address: str | None,
    gpus: float,
    workers: int | None,
    usual: int,
    device: str = "auto",
) -> Workers:
    """Who works, by the options.

    Args:
        usual: processes of this machine where no number was given.
        device: on which they work.

    Raises:
        MissingExtraError, ClusterError: as ``RayEngine.connect``.
    """
    if engine == "local":
        for option, given in (("--address", address is not None), ("--gpus", gpus > 0)):
            if given:
                raise typer.BadParameter(f"{option} counts for --engine ray")
        return usual if workers is None else workers
    if workers == 0:
        raise typer.BadParameter("--workers 0 works in this process; give --engine ray one or more")
    if device not in ("auto", "cpu") or (device == "cpu" and gpus):
        raise typer.BadParameter(f"with --engine ray --gpus says who has a GPU, and not --device {device}")
    from whosings.cluster import RayEngine

    if not isinstance(sys.stdout, _WithoutRay):
        sys.stdout = cast(TextIO, _WithoutRay(sys.stdout))
    return RayEngine.connect(address, workers, gpus)


def seen_by_all(model: str, workers: Workers) -> str:
    """A model's name, such as ``onnx:FILE`` or a folder: from the root, since a cluster begins in other folders."""
    from whosings.encoder.checkpoint import SHIPPED

    if isinstance(workers, int) or model in (*SHIPPED, *_MODELS) or model.startswith("hub:"):
        return model  # whatever folder has the same name
    kind, colon, name = model.rpartition(":")
    return f"{kind}{colon}{Path(name).absolute()}" if Path(name).exists() else model


class _WithoutRay:
    """Standard output without what Ray's own threads print there of processes that died (2.60.0, whatever it is told).

    A program that reads rows of JSON would stumble over it, and whoever gave the work hears of it in a sentence.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, unless a thread of Ray's does."""
        return len(text) if threading.current_thread().name.startswith("ray_") else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
