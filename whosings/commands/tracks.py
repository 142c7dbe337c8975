"""Single tracks: activity, embed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, WorkersOption, open_workers, seen_by_all
from whosings.commands.options import Device, EncoderName, Files, Json, refuse_output
from whosings.console import Report, counted, print_json
from whosings.errors import AudioError


def activity(files: Files, as_json: Json = False) -> None:
    """Show where somebody sings, in pieces of 3 seconds."""
    from whosings import audio
    from whosings.spool import Spool
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
                    run.out.print(f"{path.name} |{bar}| {found.share(whole.duration_s):.0%} sung", markup=False)
            except AudioError as error:
                run.failures.append(error)
            step()
    if as_json:
        print_json(rows)
    run.finish()


def embed(
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write.")] = Path("embeddings.parquet"),
    encoder: EncoderName = "default",
    device: Device = "auto",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    as_json: Json = False,
) -> None:
    """Write embeddings of sung segments to one Parquet file. If interrupted, rerun to resume."""
    from whosings.embedding_store import EmbeddingStore
    from whosings.files import hash_if_readable
    from whosings.many_embeddings import NamedEmbedder, embed_each

    run = Report()
    refuse_output("--out", out, (".parquet",), files)
    who = open_workers(engine, address, gpus, workers, 0)
    named = NamedEmbedder(seen_by_all(encoder, who), device)
    embedder = named.open()
    with EmbeddingStore(out, embedder.fingerprint) as store:
        hashes = {path: hash_if_readable(path) for path in files}
        todo = [path for path, sha256 in hashes.items() if not store.holds(path.resolve(), sha256)]
        with run.bars() as bars:
            step = bars("embedding", len(todo))
            for path, result in zip(todo, embed_each(named, todo, who, bars), strict=True):
                if isinstance(result, AudioError):
                    run.failures.append(result)
                else:
                    store.add(result, path.resolve(), hashes[path])
                step()
        segments = store.finish()
    if as_json:
        print_json(
            {
                "file": str(out),
                "segments": segments,
                "fingerprint": embedder.fingerprint,
                "failed": [str(e) for e in run.failures],
            }
        )
    else:
        run.out.print(f"{counted(segments, 'segment')} in {out}", markup=False)
    run.finish()
