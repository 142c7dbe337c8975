"""Verification, open sets, calibration: what ``identify`` and ``verify`` say on a test set, and how often wrongly.

Conventions
-----------
- Trials compare each test track with every other singer's and its own singer's validation track, as ``verify`` does.
- Open set: half of the singers, drawn by seed, are enrolled with their training tracks; test tracks of the other half
  are strangers. Answers are ``Identifier``'s, with its threshold as shipped, by short windows where they were kept.
- Where an answer names several singers, the one who is heard longest is compared with the truth.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whosings.calibration import calibration_of
from whosings.catalogue.manifest import Track
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.protocol import SingerPool
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.metrics import Bin, calibration_error, detection_cost, equal_error_rate, reliability
from whosings.progress import Progress, silent
from whosings.sampling import sort_key
from whosings.vocals.activity import Activity


@dataclass(frozen=True)
class Trials:
    """Verification trials and what follows from them.

    Attributes:
        same, different: log-likelihood ratios in nats, sorted.
        eer: equal error rate.
        min_dcf: least normalised detection cost at a prior of 0.05.
        threshold: least log-likelihood ratio, in nats, at which the shipped calibration accepts.
        false_accept_rate, miss_rate: rates of these trials at that threshold, 0 to 1.
        stated_false_accept_rate: the rate for which that threshold was set, 0 to 1.
    """

    same: tuple[float, ...]
    different: tuple[float, ...]
    eer: float
    min_dcf: float
    threshold: float
    false_accept_rate: float
    miss_rate: float
    stated_false_accept_rate: float


@dataclass(frozen=True)
class OpenSet:
    """Answers with strangers among the probes.

    Attributes:
        enrolled, strangers, clones: number of probes of each kind.
        right, another, unknown: shares of enrolled singers' probes that were answered with the singer, with another
            one, with ``unknown``.
        beside: share of enrolled singers' probes in which somebody else is named beside another one.
        strangers_named: share of strangers' probes that were given a name.
        clones_right, clones_source: shares of clones answered with a target, and with the source.
        bins: reliability of the stated probability of the best candidate, enrolled singers and strangers alike.
        calibration_error: expected calibration error of the same.
        unknown_prior: the prior of an unknown singer that decided on names; None where a false-accept rate did.
        stated_false_accept_rate: that rate; None where the prior decided.
    """

    enrolled: int
    strangers: int
    clones: int
    right: float
    another: float
    unknown: float
    beside: float
    strangers_named: float
    clones_right: float | None
    clones_source: float | None
    bins: tuple[Bin, ...]
    calibration_error: float
    unknown_prior: float | None
    stated_false_accept_rate: float | None


def trials(pool: SingerPool, corpus: Corpus, embedder: TrackEmbedder) -> Trials:
    """Verification trials among the singers' test and validation tracks.

    Raises:
        EvaluationError: fewer than two singers.
        CheckpointError: the encoder carries no calibration.
    """
    singers = list(pool.singers.values())
    if len(singers) < 2:
        raise EvaluationError("verification", "needs two singers", "give more of them")
    calibration = calibration_of(embedder.checkpoint)
    sides = [
        [(singer.name, track) for singer in singers for track in getattr(singer, role)]
        for role in ("test", "validation")
    ]
    tests, validations = ([corpus.of(track.track_id) for _, track in side] for side in sides)
    test, validation = (np.stack([track.mean(axis=0) for track in side]) for side in (tests, validations))
    sizes, others = (np.array([len(track) for track in side]) for side in (tests, validations))
    llr = calibration.ratios(test, sizes, validation, others).llr
    same_singer = np.array([[name == other for other, _ in sides[1]] for name, _ in sides[0]])
    same, different = np.sort(llr[same_singer]), np.sort(llr[~same_singer])
    return Trials(
        tuple(same.tolist()),
        tuple(different.tolist()),
        equal_error_rate(same, different),
        detection_cost(same, different),
        calibration.threshold,
        float(np.mean(different >= calibration.threshold)),
        float(np.mean(same < calibration.threshold)),
        calibration.false_accept_rate,
    )


def open_set(
    pool: SingerPool,
    corpus: Corpus,
    embedder: TrackEmbedder,
    clones: tuple[Track, ...] = (),
    seed: int = 0,
    unknown_prior: float | None = None,
    progress: Progress = silent,
) -> OpenSet:
    """What ``identify`` answers when half of the singers are not enrolled.

    Args:
        clones: those of enrolled singers are probed, too.
        unknown_prior: as ``Identifier`` takes it.

    Raises:
        EvaluationError: fewer than two singers.
        CheckpointError: the encoder carries no calibration.
    """
    order = sorted(pool.singers, key=lambda name: sort_key(seed, name))
    enrolled = set(order[: (len(order) + 1) // 2])
    if len(order) < 2:
        raise EvaluationError("an open set", "needs two singers", "give more of them")
    clones = tuple(c for c in clones if c.track_id in corpus.place and enrolled & set(c.target_singer_ids))
    probes = [(track, frozenset({name} & enrolled)) for name in order for track in pool.singers[name].test]
    probes += [(clone, frozenset(clone.target_singer_ids) & enrolled) for clone in clones]
    step = progress("open set", len(order) + len(probes))
    kinds = ("right", "another", "unknown", "beside", "named", "clone", "source")
    outcome: dict[str, list[bool]] = {name: [] for name in kinds}
    stated, came_true = [], []
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "singers", embedder.fingerprint) as gallery:
        for name in order:
            for track in pool.singers[name].train if name in enrolled else ():
                gallery.add(name, _embeddings(corpus, track.track_id, embedder.front_end.segment_s), track.track_id)
            step()
        identifier = Identifier(gallery, embedder, unknown_prior)
        for track, right in probes:
            answer = identifier.answer(_embeddings(corpus, track.track_id, embedder.front_end.segment_s))
            named = answer.named[0] if answer.named else None
            step()
            if track.cloned:
                outcome["clone"].append(named in right)
                outcome["source"].append(named == track.singer_id)
                continue
            stated.append(answer.top[0].probability)
            came_true.append(answer.top[0].singer in right)
            if right:
                outcome["right"].append(named in right)
                outcome["another"].append(named is not None and named not in right)
                outcome["unknown"].append(named is None)
                outcome["beside"].append(any(name not in right for name in answer.named[1:]))
            else:
                outcome["named"].append(named is not None)
    share = {name: float(np.mean(values)) if values else None for name, values in outcome.items()}
    return OpenSet(
        enrolled=len(outcome["right"]),
        strangers=len(outcome["named"]),
        clones=len(clones),
        right=share["right"] or 0.0,
        another=share["another"] or 0.0,
        unknown=share["unknown"] or 0.0,
        beside=share["beside"] or 0.0,
        strangers_named=share["named"] or 0.0,
        clones_right=share["clone"],
        clones_source=share["source"],
        bins=reliability(np.array(stated), np.array(came_true)),
        calibration_error=calibration_error(np.array(stated), np.array(came_true)),
        unknown_prior=unknown_prior,
        stated_false_accept_rate=identifier.terms.false_accepts,
    )


def _embeddings(corpus: Corpus, track_id: str, segment_s: float) -> Embeddings:
    """A stored track as the embedder gave it, but for its activity: what was kept is taken for sung."""
    vectors = corpus.of(track_id)
    first = corpus.first[corpus.place[track_id]]
    start_s = corpus.start_s[first : first + len(vectors)]
    sung = np.ones(len(vectors))
    end_s, activity = float(start_s[-1]) + segment_s, Activity(start_s, sung, "network")
    windows = corpus.windows_of(track_id)
    return Embeddings(
        track_id, vectors, start_s, sung, segment_s, end_s, corpus.fingerprint, False, activity, windows=windows
    )
