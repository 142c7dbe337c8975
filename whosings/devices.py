"""Where torch computes: devices by name, and what they are good at."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from whosings.errors import ConfigError

if TYPE_CHECKING:
    import torch


def open_device(name: str) -> torch.device:
    """A torch device that works here; ``"auto"`` is a GPU if there is one.

    Raises:
        ConfigError: there is none of this name.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    with usable(name):
        return torch.zeros(1, device=name).device


@contextmanager
def usable(device: object) -> Iterator[None]:
    """What goes wrong when something is put on a device, its memory running out included, as a ConfigError."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device}", "cannot be used here", "use cpu or auto") from error


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 products are computed natively: elsewhere they are emulated, many times slower than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = _capabilities() if device.type == "cpu" else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def convolves_faster_in_bf16(device: torch.device) -> bool:
    """Whether convolutional networks run faster in bf16 than in float32.

    AMD's processors that have bf16 do, and Intel's with AMX. On Intel's that have bf16 without AMX, as many virtual
    machines show them, ``default`` took a third longer in bf16 (torch 2.13, ``benchmarks/embedding.py --part tracks``).
    """
    if device.type != "cpu" or not has_bf16(device):
        return has_bf16(device)
    return bool(_capabilities().get("amx_bf16")) or "AuthenticAMD" in _processor()


def _capabilities() -> dict[str, object]:
    import torch

    # Newer than the oldest torch that will do.
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return known


def _processor() -> str:
    """What Linux says of the first processor; nothing elsewhere."""
    with suppress(OSError):
        return Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
    return ""


@contextmanager
def one_thread_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for work on a CPU that is better done side by side than shared.

    Threads that share a product wait for each other after each one, which on a busy machine can take twenty times as
    long as the work.
    """
    import torch

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)  # which new threads take over
