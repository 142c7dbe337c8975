"""Single tracks: activity, embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, WorkersOption, open_workers, seen_by_all
from whosings.commands.options import Device, EncoderName, Json, Recordings, here, place_of, refuse_output
from whosings.console import Report, counted, print_json
from whosings.errors import AudioError, ManifestError, StorageError, WhosingsError


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
    files: Annotated[
        list[str],
        typer.Argument(
            help="Audio files; folders, lists and track tables of them; s3://BUCKET/FILE.",
            show_default=False,
            parser=lambda given: str(place_of(given)),
            metavar="FILES...",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out",
            "-o",
            help="Parquet file to write, or s3://BUCKET/FILE; a name that ends in / is a folder of parts.",
        ),
    ] = "embeddings.parquet",
    encoder: EncoderName = "default",
    device: Device = "auto",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    as_json: Json = False,
) -> None:
    """Write embeddings of sung segments to one Parquet file, or a folder of parts. If interrupted, rerun to resume."""
    from whosings.embedding_parts import EmbeddingParts
    from whosings.embedding_store import EmbeddingStore
    from whosings.many_embeddings import NamedEmbedder, embed_each
    from whosings.storage import REQUESTS, content_mark, is_remote, working_copy

    run = Report()
    parts = out.endswith("/")
    if not parts:
        refuse_output("--out", Path(out), (".parquet",), here(files))
    who = open_workers(engine, address, gpus, workers, 0, device)
    named = NamedEmbedder(seen_by_all(encoder, who), device)
    embedder = named.open()
    found = _recordings(files, run.failures.append)
    places = {path: path if is_remote(path) else str(Path(path).resolve()) for path in found}
    with (
        nullcontext() if parts else working_copy(out) as table,
        EmbeddingParts(out, embedder.fingerprint)
        if table is None
        else EmbeddingStore(table, embedder.fingerprint) as store,
        run.bars() as bars,
    ):
        with ThreadPoolExecutor(REQUESTS) as pool:
            marks = dict(zip(found, pool.map(lambda path: found[path] or content_mark(path), found), strict=True))
        todo = [path for path, place in places.items() if not store.holds(place, marks[path])]
        step = bars("embedding", len(todo))
        for path, result in zip(todo, embed_each(named, todo, who, bars), strict=True):
            if isinstance(result, AudioError):
                run.failures.append(result)
            else:
                store.add(result, places[path], marks[path])
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


def _recordings(given: Sequence[str], refuse: Callable[[WhosingsError], object]) -> dict[str, str]:
    """Recordings that are named, or lie in what is named; of listed objects, with what marks their content."""
    from whosings.library.sources import folder_of, in_folder, is_list, listed, on_store
    from whosings.storage import Listed

    found: dict[str, str] = {}
    for name in given:
        folder = folder_of(name)
        try:
            if isinstance(folder, Path):
                inside = in_folder(folder, refuse)
            elif folder is not None:
                inside = on_store(folder)
            else:
                inside = listed(name) if is_list(name) else iter([name])
            for one in inside:
                if isinstance(one, Listed):
                    found[one.location] = f"etag:{one.signature.tag}"
                elif one is not None:
                    found[str(one)] = ""
        except (ManifestError, StorageError) as error:
            refuse(error)
    return found
