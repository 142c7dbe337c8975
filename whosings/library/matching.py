"""All voices of a library against a gallery, without listening: answers as ``Identifier.name`` gives them, in blocks.

A block of voices is compared with every enrolled singer by one product of matrices. Of each voice only the best few
singers are kept, with the sum of everybody's odds: an answer needs no more. Memory grows with the gallery, and not with
the library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whosings.answer import Answer, Outcome
from whosings.calibration import COMPETITORS, few_posteriors
from whosings.heard import HeardTrack, HeardVoice
from whosings.identification import Identifier, RankedVoice, answer_of
from whosings.ranking import HEARD_UNDER, LEAST_UNDER, Ranking

_VOICES = 64  # a block: its arrays stay in the processor's caches
_TRACKS = 512  # whose blocks are computed ahead of the answers
_CHUNK = 128  # singers among whom one best is kept: the best few of all are in the chunks with the best
_ROUNDING = 1e-3  # of scores and nats, in products of other shapes
_SPARE = 4  # singers kept besides the candidates: those who are named are listed beside them


@dataclass(frozen=True)
class Match:
    """The answer to one recording of a library."""

    recording: int
    answer: Answer


@dataclass(frozen=True)
class _Ranked:
    """A voice by its best few singers.

    Attributes:
        places: of these singers in the gallery, the best first.
        under: somebody may sing under the best one.
    """

    ranking: Ranking
    places: NDArray[np.intp]
    under: bool


class Matcher:
    """Tracks that were heard -> answers, in order.

    Args:
        identifier: what says who is named. A classifier of its gallery has no vote.
        top: candidates of an answer.

    Raises:
        GalleryError: nobody is enrolled.
    """

    def __init__(self, identifier: Identifier, top: int = 5) -> None:
        self._identifier, self._top = identifier, top
        self._ready, self._terms = identifier.ready, identifier.terms
        vectors = self._ready.voices.vectors
        self._few = min(top + _SPARE, len(vectors))
        self._voices = torch.from_numpy(np.ascontiguousarray(vectors))
        self._reach = torch.from_numpy(self._ready.reach)
        self._names = np.array(self._ready.voices.names, object)

    def __call__(self, tracks: Iterable[tuple[int, HeardTrack]]) -> Iterator[Match]:
        """Answer numbered tracks, of the gallery's encoder."""
        waiting = iter(tracks)
        ahead: list[tuple[list[tuple[int, HeardTrack]], Future[list[_Ranked]]]] = []
        with ThreadPoolExecutor(1) as pool:  # compares a group while answers are made of the one before
            while True:
                group = list(islice(waiting, _TRACKS))
                if group:
                    voices = [voice for _, track in group for voice in track.voices]
                    ahead.append((group, pool.submit(self._ranked, voices)))
                elif not ahead:
                    return
                if not group or len(ahead) > 1:
                    done, ranked = ahead.pop(0)
                    yield from self._answers(done, iter(ranked.result()))

    def _answers(self, tracks: Iterable[tuple[int, HeardTrack]], ranked: Iterator[_Ranked]) -> Iterator[Match]:
        for number, track in tracks:
            own = list(islice(ranked, len(track.voices)))
            found = [
                RankedVoice.of(voice, one.ranking, tuple(self._names[one.places]), self._terms)
                for voice, one in zip(track.voices, own, strict=True)
            ]
            named = sum(one.outcome is Outcome.NAMED for one in found)
            # For these, which are rare, the few that are kept may be too few.
            if named >= _SPARE or (len(own) == 1 and named and own[0].under):
                answer = self._identifier.name(track, self._top)
            else:
                answer = answer_of(track, found, (), self._terms, self._top)
            yield Match(number, answer)

    @torch.inference_mode()
    def _ranked(self, voices: Sequence[HeardVoice]) -> list[_Ranked]:
        return [one for first in range(0, len(voices), _VOICES) for one in self._block(voices[first : first + _VOICES])]

    def _block(self, voices: Sequence[HeardVoice]) -> Iterator[_Ranked]:
        calibration, singers = self._ready.calibration, len(self._voices)
        probes = torch.from_numpy(calibration.centred(np.stack([voice.mean for voice in voices])))
        amounts = calibration.reach(np.array([voice.amount for voice in voices])).astype(np.float32)
        reach = torch.from_numpy(amounts)[:, None] * self._reach
        scores = probes @ self._voices.T
        llr = self._llr(scores, reach)
        places = _best(llr, self._few)
        best = llr.gather(1, places)
        total = (llr - best[:, :1]).exp_().sum(dim=1).numpy()
        found = few_posteriors(best.numpy(), total, singers, self._identifier.unknown_prior)
        under = np.zeros(len(voices), bool)
        rows = np.flatnonzero(found.evidence[:, 0] >= self._terms.named_nats)
        if len(rows) and singers > 1:
            under[rows] = self._may_be_under(scores[rows], reach[rows], places[rows, 0])
        few, order = scores.gather(1, places).numpy(), np.arange(self._few)
        for row in range(len(voices)):
            odds = found.evidence[row], found.probabilities[row]
            ranking = Ranking(few[row], *odds, order, others=float(found.others[row]))
            yield _Ranked(ranking, places[row].numpy(), bool(under[row]))

    def _llr(self, scores: Tensor, reach: Tensor) -> Tensor:
        """As ``Calibration.track`` has it, in torch, which uses all cores."""
        line = self._ready.calibration.track
        return scores.mul(line.scale).add_(reach, alpha=line.offset).mul_(reach)

    def _may_be_under(self, scores: Tensor, reach: Tensor, first: Tensor) -> NDArray[np.bool_]:
        """Whether ``ranking.under`` might find a voice that is named under the first one, (rows,)."""
        likeness = (self._voices[first] @ self._voices.T).clamp_(-0.999, 0.999)
        rest = (scores - likeness * scores.gather(1, first[:, None])).div_((1 - likeness.square()).sqrt_())
        llr = self._llr(rest / HEARD_UNDER, reach)
        llr[rest < LEAST_UNDER - _ROUNDING] = -math.inf
        llr.scatter_(1, first[:, None], -math.inf)
        # Evidence is less than the ratio by the logarithm of at least so many competitors.
        least = self._terms.named_nats + math.log(min(len(self._voices), COMPETITORS)) - _ROUNDING
        return np.asarray(llr.amax(dim=1).numpy() >= least)


def _best(llr: Tensor, few: int) -> Tensor:
    """Places of each row's best few, the best first, (rows, few).

    The best few are in the chunks with the best maxima: so nothing long is sorted.
    """
    rows, singers = llr.shape
    chunks = singers // _CHUNK
    if chunks <= few:
        return llr.topk(few, dim=1).indices
    whole = llr[:, : chunks * _CHUNK].view(rows, chunks, _CHUNK)
    likely = whole.amax(dim=2).topk(few, dim=1).indices
    places = (likely[:, :, None] * _CHUNK + torch.arange(_CHUNK)).view(rows, -1)
    places = torch.cat([places, torch.arange(chunks * _CHUNK, singers).expand(rows, -1)], dim=1)
    return places.gather(1, llr.gather(1, places).topk(few, dim=1).indices)
