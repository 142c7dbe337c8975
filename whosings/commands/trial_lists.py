"""evaluate verification: a fixed list of trials."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from whosings.console import Report, print_json

if TYPE_CHECKING:
    from whosings.evaluation.corpus import Stem
    from whosings.many_embeddings import NamedEmbedder
    from whosings.parallel import Workers


def verification(
    run: Report, table: Path, named: NamedEmbedder, name: str, stem: Stem, out: Path, as_json: bool, workers: Workers
) -> None:
    """Embed a table's tracks as far as its trials name them, score the trials, and print the figures.

    Args:
        table: track table with a table of trials beside it.
        name: the encoder's, for the file of results.
    """
    from whosings.calibration import calibration_of
    from whosings.catalogue.manifest import Manifest, read_manifest
    from whosings.catalogue.trials import read_trials
    from whosings.evaluation.corpus import embed_manifest
    from whosings.evaluation.results import write_summary
    from whosings.evaluation.trial_lists import TRIAL_COLUMNS, score_trials, trial_cells
    from whosings.many_embeddings import embed_each
    from whosings.segment_embedding import SegmentEmbedder

    embedder = named.open()
    whole = read_manifest(table)
    trials = read_trials(table, whole)
    wanted = {name for trial in trials for name in (trial.enrolment, trial.probe)}
    tracks = Manifest(tuple(track for track in whole.tracks if track.track_id in wanted))
    with run.bars() as bars:
        step = bars("embedding", len(tracks.tracks))
        store = out / f"embeddings-{name}-{stem}.parquet"
        embedded = embed_manifest(embedder, tracks, store, stem, step, by=partial(embed_each, named, workers=workers))
    run.failures.extend(embedded.failures)
    own = isinstance(embedder.segments, SegmentEmbedder) and "calibration" in embedder.checkpoint.card
    scored = score_trials(trials, embedded.corpus, calibration_of(embedder.checkpoint) if own else None)
    write_summary(out / f"verification-{name}.json", asdict(scored))
    if as_json:
        print_json(scored)
    else:
        run.print_table(TRIAL_COLUMNS, trial_cells(scored))
