"""Single tracks: activity, embed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whosings.commands.options import (
    Device,
    EncoderName,
    Json,
    Recordings,
    embedded,
    here,
    open_embedder,
    refuse_output,
)
from whosings.console import Report, counted, print_json
from whosings.errors import AudioError, StorageError

if TYPE_CHECKING:
    from whosings.embedding import TrackEmbedder
    from whosings.embedding_store import EmbeddingStore


def activity(files: Recordings, as_json: Json = False) -> None:
    """Show where somebody sings, in pieces of 3 seconds."""
    from whosings import audio
    from whosings.spool import Spool
    from whosings.storage import name_of
    from whosings.vocals.detector import ActivityDetector

    run = Report()
    detector = ActivityDetector()
    rows: list[dict[str, Any]] = []
    with run.bars() as bars:
        step = bars("listening", len(files))
        for path in files:
            try:
                whole = Spool(path, progress=bars)
                audio.refuse_short(path, whole.duration_s)
                found = detector.listen(whole, bars)
                rows.append({"file": str(path), **asdict(found)})
                if not as_json:
                    bar = "".join(" ▁▂▃▄▅▆▇█"[round(8 * p)] for p in found.probability)
                    run.out.print(f"{name_of(path)} |{bar}| {found.share(whole.duration_s):.0%} sung", markup=False)
            except AudioError as error:
                run.failures.append(error)
            step()
    if as_json:
        print_json(rows)
    run.finish()


def embed(
    files: Recordings,
    out: Annotated[
        str, typer.Option("--out", "-o", help="Parquet file to write, or s3://BUCKET/FILE.")
    ] = "embeddings.parquet",
    encoder: EncoderName = "default",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write embeddings of sung segments to one Parquet file. If interrupted, rerun to resume."""
    from whosings.embedding_store import EmbeddingStore
    from whosings.files import hash_if_readable
    from whosings.storage import is_remote, working_copy

    run = Report()
    local = here(files)
    refuse_output("--out", Path(out), (".parquet",), local)
    embedder = open_embedder(encoder, device)
    with working_copy(out) as table, EmbeddingStore(table, embedder.fingerprint) as store:
        hashes = {path: hash_if_readable(path) for path in local}
        todo = [path for path, sha256 in hashes.items() if not store.holds(path.resolve(), sha256)]
        for path, result in zip(todo, embedded(run, embedder, todo, "embedding"), strict=True):
            if isinstance(result, AudioError):
                run.failures.append(result)
            else:
                store.add(result, path.resolve(), hashes[path])
        with run.bars() as bars:
            remote = [location for location in files if is_remote(location)]
            step = bars("embedding from a store", len(remote))
            for location in remote:
                try:
                    _embed_object(store, embedder, location)
                except (AudioError, StorageError) as error:
                    run.failures.append(error)
                step()
        segments = store.finish()
    if as_json:
        print_json(
            {
                "file": out,
                "segments": segments,
                "fingerprint": embedder.fingerprint,
                "failed": [str(e) for e in run.failures],
            }
        )
    else:
        run.out.print(f"{counted(segments, 'segment')} in {out}", markup=False)
    run.finish()


def _embed_object(store: EmbeddingStore, embedder: TrackEmbedder, location: str) -> None:
    """One request for its content, by which it is known, and which is listened to."""
    from whosings.files import content_hash
    from whosings.spool import Spool
    from whosings.storage import fetched

    with fetched(location) as here:
        sha256 = content_hash(here)
        if not store.holds(location, sha256):
            try:
                store.add(embedder(Spool(here, embedder.front_end.channels, location)), location, sha256)
            except AudioError as error:
                raise error.about(location) from error
