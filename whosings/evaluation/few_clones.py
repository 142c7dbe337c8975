"""A few clones of a singer known: whether others of that singer are found more often.

The paper leaves this open. A few clones of each target are enrolled among the target's tracks (``prototype``), or
trained on (``linear``, ``projector``), and the same other clones are asked whatever their number.

Conventions
-----------
- Known clones are nested: the first of three is the one of one. Which they are is drawn by hash from a seed.
- No clone that is asked was made from a performer of whom a known clone of that target was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from whosings.catalogue.manifest import Track
from whosings.catalogue.splits import LeftOut
from whosings.errors import EvaluationError
from whosings.evaluation.corpus import Corpus
from whosings.evaluation.protocol import SingerPool
from whosings.sampling import sort_key


@dataclass(frozen=True)
class KnownClones:
    """Clones of each target, divided.

    Attributes:
        known: by target, as many as the most that are ever known.
        asked: the others, but for those of a known performer.
        left_out: targets with too few.
    """

    known: Mapping[str, tuple[Track, ...]]
    asked: tuple[Track, ...]
    left_out: tuple[LeftOut, ...]


def divide_clones(clones: Sequence[Track], pool: SingerPool, corpus: Corpus, most: int, seed: int = 0) -> KnownClones:
    """Set the clones of each target apart.

    Args:
        clones: those without embeddings, of several targets, or of nobody in the pool are passed over.
        most: the largest number of clones that will be known of a target.

    Raises:
        EvaluationError: no target has enough clones for one to be left to ask.
    """
    of: dict[str, list[Track]] = {}
    for clone in clones:
        if clone.track_id in corpus.place and len(clone.target_singer_ids) == 1:
            of.setdefault(clone.target_singer_ids[0], []).append(clone)
    known, asked, left_out = {}, list[Track](), []
    for target in sorted(of.keys() & pool.singers.keys()):
        order = sorted(of[target], key=lambda clone: sort_key(seed, clone.track_id))
        chosen = tuple(order[:most])
        performers = {clone.singer_id for clone in chosen}
        others = [clone for clone in order[most:] if clone.singer_id not in performers]
        if others:
            known[target] = chosen
            asked += others
        else:
            left_out.append(LeftOut(target, f"{len(order)} clones, too few to know {most} and to ask another's"))
    if not known:
        raise EvaluationError("the clones", f"are too few to know {most} of a singer and ask others", "know fewer")
    return KnownClones(known, tuple(asked), tuple(left_out))


def with_known(pool: SingerPool, divided: KnownClones, number: int) -> SingerPool:
    """The singers, each target with so many clones among its training tracks."""
    return replace(
        pool,
        singers={
            name: replace(singer, train=(*singer.train, *divided.known.get(name, ())[:number]))
            for name, singer in pool.singers.items()
        },
    )
