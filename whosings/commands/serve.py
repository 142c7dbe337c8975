"""A service and a page: serve."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from whosings.commands.library_options import LIBRARY
from whosings.commands.options import GALLERY, Device, EncoderName, GalleryFile, Json, on_this_machine
from whosings.console import print_json, print_text
from whosings.errors import ConfigError, MissingExtraError

Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a limit, as upload_bytes=50000000.", show_default=False),
]


def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback need --tokens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    gallery: GalleryFile = GALLERY,
    library: Annotated[
        Path, typer.Option("--library", "-l", help="Library file.", parser=on_this_machine, metavar="FILE")
    ] = LIBRARY,
    data: Annotated[Path, typer.Option(help="Folder for jobs and for recordings that are kept.")] = Path(
        "whosings-service"
    ),
    tokens: Annotated[
        Path | None, typer.Option(help="File of tokens; without one only this machine may ask.", show_default=False)
    ] = None,
    encoder: EncoderName = "default",
    device: Device = "auto",
    settings: Setting = None,
    add_token: Annotated[
        str | None,
        typer.Option("--add-token", metavar="NAME", help="Make a token, print it, and end.", show_default=False),
    ] = None,
    may: Annotated[
        list[str] | None,
        typer.Option(
            "--may", metavar="SCOPE", help="read, enrol or review: what the new token allows; all unless given."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Write tracebacks of faults into the log.")] = False,
    as_json: Json = False,
) -> None:
    """Answer over HTTP, and show a page to upload, look, listen and decide."""
    if add_token is not None:
        _add_token(tokens, add_token, may, as_json)
        return
    if may is not None:
        raise typer.BadParameter("--may counts for --add-token")
    for module in ("fastapi", "uvicorn", "prometheus_client", "python_multipart"):
        MissingExtraError.require(module, "serving", "serve")
    import asyncio
    import logging
    import tempfile

    from whosings.service.app import build_app
    from whosings.service.desk import Desk
    from whosings.service.limits import Limits, Places
    from whosings.service.server import LOOPBACK, bound, server_of
    from whosings.service.telemetry import LogLines, Telemetry
    from whosings.service.tokens import Tokens
    from whosings.settings import load, parse_overrides

    if tokens is None and host not in LOOPBACK:
        remedy = "give --tokens FILE (whosings serve --add-token NAME --tokens FILE makes one), or leave --host out"
        raise ConfigError(host, "would let everybody who reaches this machine ask without a token", remedy)
    known = None if tokens is None else Tokens(tokens)
    limits = load(Limits, None, parse_overrides(settings or []))
    telemetry = Telemetry(sys.stderr)
    listening = bound(host, port)
    desk = Desk(Places(gallery, library, data), limits, encoder, device, telemetry)
    tempfile.tempdir = str(desk.places.work)  # where large uploads lie while they come
    server = server_of(build_app(desk, telemetry, known, debug), desk)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/"
    if as_json:
        print_json({"address": address})
    else:
        print_text(f"whosings answers at {address} (Ctrl-C ends it)")
    sys.stdout.flush()
    warnings = LogLines(telemetry)
    logging.getLogger().addHandler(warnings)
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        logging.getLogger().removeHandler(warnings)


def _add_token(path: Path | None, name: str, may: Sequence[str] | None, as_json: bool) -> None:
    from whosings.service.tokens import Scope, add_token

    if path is None:
        raise typer.BadParameter("--add-token needs --tokens FILE")
    if unknown := [one for one in may or () if one not in list(Scope)]:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(Scope)}", param_hint="--may")
    allowed = [Scope(one) for one in may or Scope]
    token = add_token(path, name, allowed)
    if as_json:
        print_json({"name": name, "token": token, "may": allowed, "file": path})
    else:
        print_text(f"{token}\nKeep it: {path} holds its SHA-256 alone. It allows to {', '.join(allowed)}.")
