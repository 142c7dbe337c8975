"""Models that take a mixture apart: demucs, Spleeter and audio-separator behind one protocol, opened by a spec.

Specs, strings that worker processes can be given: ``demucs`` (its ``htdemucs``), ``demucs:NAME`` (a pretrained bag; the
paper's authors used ``mdx_extra``), ``demucs:FOLDER`` (model files on this disk), ``spleeter`` (weights found on this
machine), ``spleeter:FILE_OR_FOLDER``, ``audio-separator:MODEL_FILE``, ``stems:FOLDER`` (ready-made stems), ``none``.
"""

from __future__ import annotations

from pathlib import Path

from whosings.devices import open_device
from whosings.errors import SeparationError
from whosings.vocals.ready_stems import ReadyStems
from whosings.vocals.separation_model import Separator

DEFAULT_DEMUCS = "htdemucs"
"""Demucs' own default: newer than ``mdx_extra``, and one model in place of four."""


def open_separator(spec: str, device: str = "auto") -> Separator | ReadyStems | None:
    """Open what a spec names; see the module. ``none`` gives None.

    Args:
        device: a torch device; ``"auto"`` takes a GPU if there is one.

    Raises:
        SeparationError: unknown spec or model, no network, a damaged file.
        MissingExtraError: the spec's package is not installed.
        ConfigError: there is no such device.
    """
    kind, _, name = spec.partition(":")
    if kind == "none" and not name:
        return None
    if kind == "stems" and name:
        if not Path(name).is_dir():
            raise SeparationError(name, "is not a folder of stems", "check the path")
        return ReadyStems(Path(name))
    if kind == "demucs":
        from whosings.vocals.demucs_models import open_demucs

        return open_demucs(name or DEFAULT_DEMUCS, open_device(device))
    if kind == "spleeter":
        from whosings.vocals.spleeter_models import open_spleeter

        return open_spleeter(name, open_device(device))
    if kind == "audio-separator" and name:
        from whosings.vocals.uvr_models import open_audio_separator

        return open_audio_separator(name, open_device(device))
    raise SeparationError(
        spec or "''",
        "no such separation model",
        "choose demucs, demucs:NAME, spleeter, spleeter:FILE, audio-separator:FILE, stems:FOLDER or none",
    )
