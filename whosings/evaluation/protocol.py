"""The paper's protocol: singers drawn, heads trained on frozen embeddings, tracks named by their segments' vote.

Conventions
-----------
- ``closed``: each run draws its singers anew. ``cloned``: the cloned singers are always among them, heads learn from
  real tracks only, and real test tracks of the same heads are scored beside the clones (set ``cloned-real``). Other
  sets, such as FMA and MTG-Jamendo, are evaluated as ``closed`` ones, usually with all of their singers.
- A run depends on the seed, its number and the number of classes, on nothing else that is evaluated.
- No test or validation track, and no byte-for-byte copy of one, trains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whosings.catalogue.manifest import Track
from whosings.catalogue.roles import ROLES, SingerSplit, album_key
from whosings.catalogue.splits import LeftOut
from whosings.classifier import Head, HeadData, Votes, train_heads, vote
from whosings.config import HEADS, HeadConfig
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus, without_copies
from whosings.evaluation.results import Row, is_done, run_path, write_run
from whosings.metrics import expected_ranks, top_k_credit
from whosings.progress import Progress, silent


@dataclass(frozen=True)
class PoolSinger:
    """A singer with tracks in each role; the paper has one to validate and one to test."""

    name: str
    train: tuple[Track, ...]
    validation: tuple[Track, ...]
    test: tuple[Track, ...]


@dataclass(frozen=True)
class SingerPool:
    """Singers who can take part, and those who cannot, with reasons.

    Attributes:
        singers: by singer id.
    """

    singers: Mapping[str, PoolSinger]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Setting:
    """What is evaluated.

    Attributes:
        set: ``closed``, ``cloned`` (``cloned+3`` where three clones of each target are known), or another set's name.
        model: name of the encoder, for the rows.
        head: a name in ``HEADS``.
        classes: singers a run; None takes all.
        together: runs that are trained at once.
    """

    set: str
    model: str
    head: str
    classes: int | None
    runs: int = 10
    seed: int = 0
    together: int = 10

    @property
    def name(self) -> str:
        """The beginning of its files' names."""
        return f"{self.set}-{self.model}-{self.head}-{self.classes or 'all'}"

    @property
    def cloned(self) -> bool:
        """Whether clones are asked, and their targets always take part."""
        return self.set.partition("+")[0] == "cloned"

    @property
    def config(self) -> HeadConfig:
        """The settings of its head."""
        return HEADS[self.head]


def enrol(split: SingerSplit, corpus: Corpus, progress: Progress = silent) -> SingerPool:
    """Singers who have embeddings in each role: of a test, a validation and a training track at least.

    Raises:
        EvaluationError: nobody is left.
    """
    step = progress("looking for copies", sum(len(getattr(split, role).tracks) for role in ROLES))
    copies = without_copies([getattr(split, role) for role in ROLES], corpus, step)
    singers: dict[str, PoolSinger] = {}
    left_out = list(split.left_out)
    for singer, tracks in split.train.by_singer.items():
        parts = (split.validation.by_singer[singer], split.test.by_singer[singer], tracks)
        validation, test, train = (
            tuple(t for t in part if t.track_id in corpus.place and t.track_id not in copies) for part in parts
        )
        role = next((role for role, own in (("validation", validation), ("test", test)) if not own), None)
        if role is not None:
            left_out.append(LeftOut(singer, f"the {role} track has no singing that is heard, or trains elsewhere"))
        elif not train:
            left_out.append(LeftOut(singer, "no training track with singing that is heard"))
        else:
            singers[singer] = PoolSinger(singer, train, validation, test)
    if not singers:
        raise EvaluationError("the split", "has no singer with embeddings in each role", "check the tracks")
    return SingerPool(singers, tuple(left_out))


def evaluate(
    setting: Setting,
    pool: SingerPool,
    corpus: Corpus,
    folder: Path,
    clones: Sequence[Track] = (),
    device: str = "cpu",
    progress: Progress = silent,
) -> int:
    """Runs of one setting, each into its file; those that are there already are kept. Returns how many were made.

    Args:
        clones: for ``cloned``; those without embeddings or without an enrolled target are passed over.
        progress: is told of each run and each epoch.

    Raises:
        EvaluationError: more classes than singers, fewer classes than two or than cloned singers, or a file of another
            setting.
    """
    wanted = _check(setting, pool, corpus, clones)
    recipe = _recipe(setting, pool, corpus, wanted)
    todo = [n for n in range(setting.runs) if not is_done(run_path(folder, setting.name, n), recipe)]
    step = progress(f"{setting.set}, {setting.classes or len(pool.singers)} singers", len(todo))
    vectors = torch.from_numpy(even_rows(corpus.vectors)).to(device)
    for first in range(0, len(todo), setting.together):
        runs = todo[first : first + setting.together]
        drawn = [_draw(setting, pool, wanted, run) for run in runs]
        data = [_head_data(setting, singers, corpus, run) for singers, run in zip(drawn, runs, strict=True)]
        count = _Count(len(runs), step, progress(f"epochs of {len(runs)} heads", 0))
        heads = train_heads(vectors, data, setting.config, count)
        count.finish()
        for run, singers, head in zip(runs, drawn, heads, strict=True):
            rows = list(_score(setting, run, singers, head, vectors, corpus, wanted))
            write_run(rows, run_path(folder, setting.name, run), recipe)
    return len(todo)


class _Count:
    """Counts a run as soon as its head is trained, which takes nearly all of its time."""

    def __init__(self, heads: int, run: Callable[[], None], epoch: Callable[[], None]) -> None:
        self._running, self._run, self._epoch = heads, run, epoch

    def __call__(self, running: int) -> None:
        """Count an epoch, after which so many heads are still in training."""
        self._epoch()
        for _ in range(self._running - running):
            self._run()
        self._running = running

    def finish(self) -> None:
        """Count the heads that trained up to the last epoch."""
        for _ in range(self._running):
            self._run()


def _check(setting: Setting, pool: SingerPool, corpus: Corpus, clones: Sequence[Track]) -> tuple[Track, ...]:
    """Clones that can be scored."""
    usable = tuple(
        track
        for track in clones
        if track.track_id in corpus.place and any(name in pool.singers for name in track.target_singer_ids)
    )
    if setting.cloned and not usable:
        raise EvaluationError("the clones", "imitate nobody of the singers", "give the singers whom they imitate")
    if len(pool.singers) < 2:
        raise EvaluationError("accuracy", "cannot be measured with one singer, who is always right", "give two or more")
    least = max(2, len(_targets(usable, pool)) if setting.cloned else 0)
    classes = setting.classes or len(pool.singers)
    if not least <= classes <= len(pool.singers):
        bounds = f"{least} to {len(pool.singers)} singers can take part"
        raise EvaluationError(f"{classes} classes", f"do not fit, {bounds}", "ask for as many as there are")
    return usable if setting.cloned else ()


def _targets(clones: Sequence[Track], pool: SingerPool) -> list[str]:
    return sorted({name for track in clones for name in track.target_singer_ids if name in pool.singers})


def _recipe(setting: Setting, pool: SingerPool, corpus: Corpus, clones: Sequence[Track]) -> str:
    """Digest of all that a run depends on, but for its number."""
    parts = [
        repr((setting.set, setting.classes, setting.seed, setting.config)),
        corpus.fingerprint,
        repr([(p.name, [t.track_id for t in p.train], _named(p.validation), _named(p.test)) for p in _sorted(pool)]),
        repr([(track.track_id, track.target_singer_ids) for track in clones]),
        hashlib.sha256(corpus.vectors.tobytes()).hexdigest(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _named(tracks: Sequence[Track]) -> str | list[str]:
    """Ids; of one track the id itself, so that results that are there already keep their recipe."""
    return tracks[0].track_id if len(tracks) == 1 else [track.track_id for track in tracks]


def _sorted(pool: SingerPool) -> list[PoolSinger]:
    return [pool.singers[name] for name in sorted(pool.singers)]


def even_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embeddings as they are if of unit length; else each dimension standardised, as features such as MFCCs need."""
    if np.allclose(np.linalg.norm(vectors[:256], axis=1), 1, atol=1e-2):
        return vectors
    return np.asarray((vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6), np.float32)


def _draw(setting: Setting, pool: SingerPool, clones: Sequence[Track], run: int) -> list[PoolSinger]:
    always = _targets(clones, pool)
    others = [name for name in sorted(pool.singers) if name not in set(always)]
    classes = setting.classes or len(pool.singers)
    rng = np.random.default_rng([setting.seed, classes, run])
    drawn = rng.choice(len(others), classes - len(always), replace=False)
    return [pool.singers[name] for name in sorted([*always, *(others[number] for number in drawn)])]


def _head_data(setting: Setting, singers: Sequence[PoolSinger], corpus: Corpus, run: int) -> HeadData:
    train = [(track, label) for label, singer in enumerate(singers) for track in singer.train]
    held = [(track, label) for label, singer in enumerate(singers) for track in singer.validation]
    classes = len(singers)
    seed = int(np.random.default_rng([setting.seed, classes, run, 1]).integers(2**62))
    return HeadData(
        corpus.rows([track for track, _ in train], [label for _, label in train]),
        corpus.rows([track for track, _ in held], [label for _, label in held]),
        classes,
        seed,
    )


def _score(
    setting: Setting,
    run: int,
    singers: Sequence[PoolSinger],
    head: Head,
    vectors: torch.Tensor,
    corpus: Corpus,
    clones: Sequence[Track],
) -> Iterator[Row]:
    """Rows of a run: test tracks and, for ``cloned``, clones."""
    label = {singer.name: number for number, singer in enumerate(singers)}
    probes = [*(track for singer in singers for track in singer.test), *clones]
    targets = np.zeros((len(probes), len(singers)), bool)
    for number, track in enumerate(probes):
        for name in track.target_singer_ids if track.cloned else (track.singer_id,):
            if name in label:
                targets[number, label[name]] = True
    rows = corpus.rows(probes, [0] * len(probes))
    votes = vote(head, vectors, rows)
    by_vote, by_mean = (_placed(scores, targets) for scores in (votes.counts, votes.means))
    for number, track in enumerate(probes):
        right = [singer for singer, hit in zip(singers, targets[number], strict=True) if hit]
        source, source_top_1, owner = _clone(track, label, votes, number)
        real = f"{setting.set}-real" if setting.cloned else setting.set
        yield Row(
            set=setting.set if track.cloned else real,
            model=setting.model,
            head=setting.head,
            classes=len(singers),
            run=run,
            probe=track.track_id,
            target=";".join(singer.name for singer in right),
            predicted=singers[int(votes.counts[number].argmax())].name,
            rank=by_vote[0][number],
            top_1=by_vote[1][number],
            top_5=by_vote[2][number],
            mean_rank=by_mean[0][number],
            mean_top_1=by_mean[1][number],
            mean_top_5=by_mean[2][number],
            probability=float(votes.means[number][targets[number]].max()),
            segments=int(rows.length[number]),
            train_tracks=sum(len(singer.train) for singer in right),
            album_shared=_album_shared(track, right),
            genre=track.genre or "",
            language=track.language or "",
            clone_method=track.clone_method or "",
            source=source,
            source_top_1=source_top_1,
            owner=owner,
        )


def _placed(scores: NDArray[np.float32], targets: NDArray[np.bool_]) -> tuple[list[float], list[float], list[float]]:
    return (
        expected_ranks(scores, targets).tolist(),
        top_k_credit(scores, targets, 1).tolist(),
        top_k_credit(scores, targets, 5).tolist(),
    )


def _clone(track: Track, label: Mapping[str, int], votes: Votes, number: int) -> tuple[str, float, str]:
    """A clone's source, the chance that the vote names the source, and whose band plays."""
    if not track.cloned:
        return "", float("nan"), ""
    named = float("nan")
    if track.singer_id in label and track.singer_id not in track.target_singer_ids:
        own = np.arange(len(label)) == label[track.singer_id]
        named = float(top_k_credit(votes.counts[number][None], own[None], 1)[0])
    band = track.instrumental_singer_id
    if band is None:
        return track.singer_id, named, ""
    owner = "source" if band == track.singer_id else "enrolled" if band in label else "other"
    return track.singer_id, named, owner


def _album_shared(track: Track, right: Sequence[PoolSinger]) -> bool | None:
    albums = {album_key(other) for singer in right for other in singer.train}
    own = album_key(track)
    return None if track.cloned or own is None or None in albums else own in albums
