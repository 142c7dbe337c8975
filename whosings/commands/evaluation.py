"""The paper's evaluation: evaluate, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from whosings.commands.engines import AddressOption, EngineOption, GpusOption, WorkersOption, open_workers, seen_by_all
from whosings.commands.open_questions import careers, few_clones, numbers
from whosings.commands.options import Device, Json, UnknownPrior, refuse_ignored
from whosings.commands.trial_lists import verification
from whosings.config import HEADS
from whosings.console import Report, print_json
from whosings.errors import EvaluationError

if TYPE_CHECKING:
    from whosings.catalogue.manifest import Manifest
    from whosings.catalogue.roles import SingerSplit
    from whosings.embedding import TrackEmbedder
    from whosings.evaluation.corpus import Corpus
    from whosings.evaluation.protocol import Setting, SingerPool
    from whosings.evaluation.verification import OpenSet


_HEADS = ("closed", "cloned", "fma", "mtg", "few-clones")
_COUNTS_FOR: dict[str, tuple[str, ...]] = {
    "head": _HEADS,
    "classes": _HEADS,
    "runs": _HEADS,
    "together": _HEADS,
    "seed": (*_HEADS, "product"),
    "clones": ("cloned", "product", "few-clones"),
    "weak_clones": ("cloned", "product", "few-clones"),
    "audio": ("fma", "mtg"),
    "unknown_prior": ("product",),
    "known": ("few-clones",),
}
"""Analyses for which an option counts; it is refused for the others."""


def evaluate(
    context: typer.Context,
    what: Annotated[
        Literal["closed", "cloned", "fma", "mtg", "similarity", "product", "verification", "few-clones", "careers"],
        typer.Argument(
            help="A set of the paper (closed, cloned, fma, mtg), its figure 4 (similarity), the product's error rates, "
            "a fixed list of trials (verification), clones of singers of whom a few are known (few-clones), or years "
            "between enrolment and probe (careers)."
        ),
    ],
    source: Annotated[
        Path, typer.Argument(help="Folder with closed.parquet (and cloned.parquet), a track table, or splits/.")
    ],
    encoder: Annotated[
        str,
        typer.Option(
            help="'default', 'fast', a checkpoint, hub:OWNER/NAME, mfcc, onnx:FILE, hf:FOLDER (a Hugging Face audio "
            "model), or resemblyzer."
        ),
    ] = "default",
    model: Annotated[str | None, typer.Option(help="Name of the encoder in the tables.", show_default=False)] = None,
    stem: Annotated[Literal["mixture", "vocal"], typer.Option(help="Which of a track's files to use.")] = "mixture",
    classes: Annotated[str, typer.Option(help="Number of singers in a run: all, 100, or 100:1000:100.")] = "all",
    runs: Annotated[int, typer.Option(min=1, help="Number of random draws of singers and initial weights.")] = 10,
    head: Annotated[str, typer.Option(help=f"Classifier on the embeddings: {', '.join(HEADS)}.")] = "projector",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of draws and initial weights.")] = 0,
    together: Annotated[int, typer.Option(min=1, help="Number of runs trained at once.")] = 10,
    clones: Annotated[
        Path | None, typer.Option(help="Track table of clones; cloned.parquet beside the tracks unless given.")
    ] = None,
    weak_clones: Annotated[
        bool,
        typer.Option(
            "--weak-clones", help="Include the choir's conversions that a strong encoder does not take for the target."
        ),
    ] = False,
    known: Annotated[str, typer.Option(help="Numbers of known clones of each singer, for few-clones.")] = "0,1,3,10",
    audio: Annotated[Path | None, typer.Option(help="Folder with the audio of fma or mtg.")] = None,
    unknown_prior: UnknownPrior = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for results. If interrupted, rerun to resume.")
    ] = Path("results"),
    device: Device = "auto",
    workers: WorkersOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    gpus: GpusOption = 0.0,
    as_json: Json = False,
) -> None:
    """Evaluate an encoder as the paper does, with classifier heads on frozen embeddings and votes of segments."""
    from whosings.devices import open_device
    from whosings.evaluation.baselines import open_segments, short_name
    from whosings.evaluation.corpus import embed_manifest
    from whosings.evaluation.protocol import enrol
    from whosings.many_embeddings import NamedEmbedder, embed_each

    refuse_ignored(context, what, _COUNTS_FOR)
    if head not in HEADS:
        raise typer.BadParameter(f"no head {head}; there are {', '.join(HEADS)}")
    name, counts, singers = model or short_name(encoder), numbers(known), _classes(classes)
    if name != Path(name).name:
        raise typer.BadParameter(f"--model {name} would be part of files' names; give it without /")
    if what == "few-clones" and len(singers) > 1:
        raise typer.BadParameter("few-clones takes one number of singers: all, or 100")
    run = Report()
    who = open_workers(engine, address, gpus, workers, 0, device)
    here = str(open_device(device))
    # A cluster's processes have devices of their own.
    named = NamedEmbedder(seen_by_all(encoder, who), here if isinstance(who, int) else device, open_segments)
    if what == "verification":
        verification(run, _table(source), named, name, stem, out, as_json, who)
        run.finish()
        return
    split, cloned = _read(what, source, clones, audio, weak_clones)
    embedder = named.open()
    whole = _together(split, cloned)
    with run.bars() as bars:
        step = bars("embedding", len(whole.tracks))
        probes = {track.track_id for track in (*split.test.tracks, *cloned.tracks)} if what == "product" else ()
        store = out / f"embeddings-{name}-{stem}.parquet"
        embedded = embed_manifest(embedder, whole, store, stem, step, probes, partial(embed_each, named, workers=who))
    run.failures.extend(embedded.failures)
    with run.bars() as bars:
        pool = enrol(split, embedded.corpus, bars)
    evaluation = _Evaluation(run, out, name, stem, embedder, embedded.corpus, pool, cloned)
    if what == "similarity":
        _similarity(evaluation, as_json)
    elif what == "product":
        _product(evaluation, seed, unknown_prior, as_json)
    elif what == "careers":
        careers(run, out, name, whole.tracks, embedded.corpus, as_json)
    elif what == "few-clones":
        from whosings.evaluation.protocol import Setting

        _note_probes(evaluation)
        setting = Setting(what, name, head, singers[0], runs, seed, together)
        few_clones(run, out, setting, pool, embedded.corpus, cloned.tracks, counts, here, as_json)
    else:
        from whosings.evaluation.protocol import Setting

        settings = [Setting(what, name, head, number, runs, seed, together) for number in singers]
        _protocol(evaluation, settings, here, as_json)
    notes = [f"{track.track_id}: no singing is heard" for track in embedded.unsung]
    notes += [f"{one.singer_id}: {one.reason}" for one in pool.left_out]
    if notes:
        run.err.print(f"{len(embedded.unsung)} tracks and {len(pool.left_out)} singers took no part:", style="yellow")
        run.err.print("\n".join(f"  {note}" for note in notes), markup=False)
    run.finish()


def report(
    results: Annotated[Path, typer.Argument(help="Folder with results.")] = Path("results"),
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for figures and the page.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the paper's tables and figures from results, and a page to read: report.html."""
    from whosings.evaluation.report import write_report

    run = Report()
    made = write_report(results, out or results / "report")
    if as_json:
        print_json(made)
    else:
        run.out.print("\n".join(str(path) for path in (made.page, *made.figures)), markup=False)
    run.finish()


@dataclass(frozen=True)
class _Evaluation:
    run: Report
    out: Path
    name: str
    stem: str
    embedder: TrackEmbedder
    corpus: Corpus
    pool: SingerPool
    clones: Manifest


def _protocol(evaluation: _Evaluation, settings: Sequence[Setting], device: str, as_json: bool) -> None:
    from whosings.evaluation.leaderboard import note_cost
    from whosings.evaluation.paper_tables import LINE_COLUMNS, line_cells, lines
    from whosings.evaluation.protocol import evaluate as run_setting
    from whosings.evaluation.results import read_results, write_summary

    made = 0
    note_cost(evaluation.out, evaluation.name, evaluation.embedder.segments)
    _note_probes(evaluation)
    with evaluation.run.bars() as bars:
        for setting in settings:
            made += run_setting(
                setting, evaluation.pool, evaluation.corpus, evaluation.out, evaluation.clones.tracks, device, bars
            )
    accuracies = lines(read_results(evaluation.out))
    write_summary(evaluation.out / "summary.json", [asdict(line) for line in accuracies])
    if as_json:
        print_json({"made": made, "lines": accuracies})
    else:
        evaluation.run.print_table(LINE_COLUMNS, [line_cells(line) for line in accuracies])


def _note_probes(evaluation: _Evaluation) -> None:
    """Keep where the probes lie, so that a report can play what was named wrongly."""
    from whosings.evaluation.results import ProbeFile, note_probes

    corpus = evaluation.corpus
    tests = (track for singer in evaluation.pool.singers.values() for track in singer.test)
    probes = [*tests, *evaluation.clones.tracks]
    paths = {track.track_id: track.path if evaluation.stem == "mixture" else track.vocals_path for track in probes}
    starts = {name: float(corpus.start_s[corpus.first[corpus.place[name]]]) for name in paths if name in corpus.place}
    found = {name: ProbeFile(str(Path(str(paths[name])).absolute()), start) for name, start in starts.items()}
    note_probes(evaluation.out, found)


def _similarity(evaluation: _Evaluation, as_json: bool) -> None:
    from whosings.evaluation.paper_tables import spread
    from whosings.evaluation.results import write_summary
    from whosings.evaluation.similarity import similarities

    with evaluation.run.bars() as bars:
        step = bars("stems", len(evaluation.pool.singers))
        found = similarities(evaluation.name, evaluation.embedder, evaluation.pool.singers, evaluation.corpus, step)
    write_summary(evaluation.out / f"similarity-{evaluation.name}.json", asdict(found))
    if as_json:
        print_json(found)
    else:
        evaluation.run.print_table(
            ("compared with", "mean cosine"), [(bar, spread(v)) for bar, v in found.bars.items()]
        )


def _product(evaluation: _Evaluation, seed: int, unknown_prior: float | None, as_json: bool) -> None:
    from whosings.evaluation.results import write_summary
    from whosings.evaluation.verification import open_set, trials
    from whosings.segment_embedding import SegmentEmbedder

    if not isinstance(evaluation.embedder.segments, SegmentEmbedder):
        raise EvaluationError(evaluation.name, "carries no calibration", "name an encoder of whosings")
    pairs = trials(evaluation.pool, evaluation.corpus, evaluation.embedder)
    with evaluation.run.bars() as bars:
        answers = open_set(
            evaluation.pool, evaluation.corpus, evaluation.embedder, evaluation.clones.tracks, seed, unknown_prior, bars
        )
    write_summary(
        evaluation.out / f"product-{evaluation.name}.json", {"trials": asdict(pairs), "open_set": asdict(answers)}
    )
    if as_json:
        brief = {key: value for key, value in asdict(pairs).items() if key not in ("same", "different")}
        print_json({"trials": brief, "open_set": answers})
        return
    rows = [
        (f"{len(pairs.same)} + {len(pairs.different)} trials: EER", f"{pairs.eer:.1%}"),
        ("minDCF, prior 0.05", f"{pairs.min_dcf:.3f}"),
        (
            f"at the shipped threshold, set for {pairs.stated_false_accept_rate:.0%}: false accepts, misses",
            f"{pairs.false_accept_rate:.1%}, {pairs.miss_rate:.1%}",
        ),
        (
            f"{answers.enrolled} probes of enrolled singers: right, another, unknown",
            f"{answers.right:.1%}, {answers.another:.1%}, {answers.unknown:.1%}",
        ),
        (f"{answers.strangers} strangers' probes: given a name{_stated(answers)}", f"{answers.strangers_named:.1%}"),
        ("expected calibration error", f"{answers.calibration_error:.3f}"),
    ]
    if answers.clones_right is not None:
        rows.append(
            (
                f"{answers.clones} clones: target named, source named",
                f"{answers.clones_right:.1%}, {answers.clones_source:.1%}",
            )
        )
    evaluation.run.print_table(("what", "figure"), rows)


def _stated(answers: OpenSet) -> str:
    rate = answers.stated_false_accept_rate
    return "" if rate is None else f", stated {100 * rate:g}%"


def _read(what: str, source: Path, clones: Path | None, audio: Path | None, weak: bool) -> tuple[SingerSplit, Manifest]:
    """Singers with roles, and clones; weak ones only if asked for."""
    from whosings.catalogue.datasets import FMA, MTG
    from whosings.catalogue.manifest import Manifest, read_manifest
    from whosings.catalogue.paper_splits import read_published
    from whosings.catalogue.roles import read_roles
    from whosings.choir.conversion import WEAK

    if what in ("fma", "mtg"):
        if audio is None:
            raise typer.BadParameter(f"{what} needs --audio, the folder of its recordings")
        return read_published(source, audio, FMA if what == "fma" else MTG), Manifest(())
    table = _table(source)
    beside = clones or table.with_name(f"cloned{table.suffix}")
    asked = what in ("cloned", "few-clones")
    wanted = asked or (what == "product" and (clones is not None or beside.exists()))
    found = read_manifest(beside).tracks if wanted else ()
    return read_roles(table), Manifest(tuple(track for track in found if weak or track.clone_method not in WEAK))


def _table(source: Path) -> Path:
    folder = [source / "closed.parquet", source / "open.parquet"]  # as choir and split name them
    return next((path for path in folder if path.exists()), folder[0]) if source.is_dir() else source


def _together(split: SingerSplit, clones: Manifest) -> Manifest:
    from whosings.catalogue.manifest import Manifest

    real = (split.train, split.validation, split.test)
    return Manifest(tuple(track for part in (*real, clones) for track in part.tracks))


def _classes(text: str) -> list[int | None]:
    """``all``, ``100`` or ``100:1000:100`` (the last included)."""
    if text == "all":
        return [None]
    try:
        first, last, step = [int(part) for part in text.split(":")] if ":" in text else [int(text), int(text), 1]
        found: list[int | None] = list(range(first, last + 1, step))
    except ValueError:
        found = []
    if not found or not all(number and number > 0 for number in found):
        raise typer.BadParameter(f"{text} is not all, 100 or 100:1000:100")
    return found
