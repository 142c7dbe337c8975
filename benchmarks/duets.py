"""Songs of several singers: who is named, and who sings when.

Reads whole songs (`--songs`, a file each) or singing (`--singing`, folders singer/*.audio with RAVDESS' names). Duets
are made of 20 seconds of each of two singers: one after the other, in turns of 5 seconds, and at once. Of a song the 20
seconds with the most singing are asked, and the rest is enrolled; singing is enrolled with one sentence and asked with
the other. `by segment` is the way without short windows, which scores each singer on the segments that are
like theirs. `others` are duets in which somebody else was named. Diarization error is that of pyannote.metrics with a
collar of 0.25 s, over what is sung; names are mapped as it does. `one voice` counts solo songs.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import measure
import numpy as np
import torch

from whosings import audio
from whosings.answer import Answer
from whosings.audio import SAMPLE_RATE, FloatArray, Segment
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.vocals.activity import trim
from whosings.vocals.detector import FRAME_S, ActivityDetector

HALF_S, TURN_S = 20, 5


@dataclass(frozen=True)
class Singer:
    """Sound to enrol and sound to ask with, mono at 16 kHz; of a song, all of it is asked alone."""

    name: str
    enrolled: FloatArray
    asked: FloatArray
    alone: FloatArray


def from_song(path: Path, detector: ActivityDetector) -> Singer:
    """A song's 20 seconds with the most singing, and the rest of it."""
    wave = audio.load(path).samples[0]
    sung = np.convolve(detector.frames(wave[None]), np.ones(round(HALF_S / FRAME_S)), "valid")
    first = round(int(sung.argmax()) * FRAME_S * SAMPLE_RATE)
    last = first + HALF_S * SAMPLE_RATE
    return Singer(path.stem, np.concatenate([wave[:first], wave[last:]]), levelled(wave[first:last]), wave)


def from_clips(folder: Path) -> Singer:
    """Clips of one sentence to enrol, and of the other, in any order, to ask with."""
    clips: dict[str, list[FloatArray]] = {"01": [], "02": []}
    for path in sorted(folder.glob("*")):
        samples = audio.load(path).samples
        clips[path.stem.split("-")[4]].append(levelled(samples[0, trim(samples, 30)]))
    random.Random(folder.name).shuffle(clips["02"])
    asked = np.concatenate(clips["02"])
    return Singer(folder.name, np.concatenate(clips["01"]), asked[: HALF_S * SAMPLE_RATE], asked[: 40 * SAMPLE_RATE])


def levelled(wave: FloatArray) -> FloatArray:
    """At -20 dB of full scale."""
    return np.asarray(wave / np.sqrt(np.mean(np.square(wave)) + 1e-12) * 0.1, np.float32)


def after_each_other(first: FloatArray, second: FloatArray, turn_s: int) -> FloatArray:
    """In turns."""
    size = turn_s * SAMPLE_RATE
    turns = zip(range(0, len(first), size), range(0, len(second), size), strict=False)
    return np.concatenate([part for a, b in turns for part in (first[a : a + size], second[b : b + size])])


def error(answer: Answer, turn_s: int, names: tuple[str, str]) -> float:
    """Diarization error of a duet in turns."""
    from pyannote.core import Annotation
    from pyannote.core import Segment as Stretch
    from pyannote.metrics.diarization import DiarizationErrorRate

    true, found = Annotation(), Annotation()
    for number in range(2 * HALF_S // turn_s):
        true[Stretch(number * turn_s, (number + 1) * turn_s), number] = names[number % 2]
    starts = [part.start_s for part in answer.timeline]
    for number, (part, after) in enumerate(zip(answer.timeline, [*starts[1:], np.inf], strict=True)):
        stop = min(part.start_s + part.duration_s, after)  # segments overlap
        found[Stretch(part.start_s, stop), number] = part.singer or "somebody else"
    return float(DiarizationErrorRate(collar=0.25)(true, found))


def measured(singers: list[Singer], embedder: TrackEmbedder, most: int) -> Iterator[list[object]]:
    """Rows of a table."""
    pairs = list(itertools.combinations(singers, 2))
    random.Random(1).shuffle(pairs)
    pairs = pairs[:most]
    made: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
        "20 + 20 s": lambda a, b: after_each_other(a, b, HALF_S),
        "5-s turns": lambda a, b: after_each_other(a, b, TURN_S),
        "at once": lambda a, b: a[: HALF_S * SAMPLE_RATE] + b[: HALF_S * SAMPLE_RATE],
    }
    with tempfile.TemporaryDirectory() as folder, Gallery(Path(folder) / "g", embedder.fingerprint) as gallery:
        for singer in singers:
            gallery.add(singer.name, embedder(Segment(singer.enrolled[None], 0.0, singer.name)), singer.name)
        identifier = Identifier(gallery, embedder)
        for kind, mix in made.items():
            turn_s = {"20 + 20 s": HALF_S, "5-s turns": TURN_S}.get(kind, 0)
            probes = [embedder(Segment(mix(a.asked, b.asked)[None], 0.0, kind)) for a, b in pairs]
            for way in (by_segment, by_window):
                answers = [identifier.answer(way(probe)) for probe in probes]
                wanted = [{a.name, b.name} for a, b in pairs]
                named = [names_of(answer) for answer in answers]
                looks = [n | set(answer.worth_a_look) for n, answer in zip(named, answers, strict=True)]
                in_turns = zip(answers, pairs, strict=True) if turn_s else ()
                errors = [error(answer, turn_s, (a.name, b.name)) for answer, (a, b) in in_turns]
                yield [
                    kind,
                    way.__name__.replace("_", " "),
                    f"{np.mean([w <= n for w, n in zip(wanted, named, strict=True)]):.0%}",
                    f"{np.mean([w <= n for w, n in zip(wanted, looks, strict=True)]):.0%}",
                    f"{np.mean([bool(w & n) for w, n in zip(wanted, named, strict=True)]):.0%}",
                    f"{np.mean([bool(n - w) for w, n in zip(wanted, named, strict=True)]):.0%}",
                    f"{np.mean(errors):.1%}" if errors else "",
                ]
        probes = [embedder(Segment(singer.alone[None], 0.0, singer.name)) for singer in singers]
        known = [identifier.answer(probe) for probe in probes]
        right = np.mean([answer.named == (singer.name,) for answer, singer in zip(known, singers, strict=True)])
        alone = np.mean([len(answer.voices) == 1 for answer in known])
        yield ["solo: nobody else named", "", f"{right:.0%}", "", "", "", ""]
        yield ["solo: one voice", "", f"{alone:.0%}", "", "", "", ""]
        for way in (by_segment, by_window):
            left_out = zip(probes, singers, strict=True)
            strangers = [identifier.answer(way(probe), leave_out=singer.name) for probe, singer in left_out]
            named = f"{np.mean([bool(answer.named) for answer in strangers]):.0%}"
            yield ["solo, not enrolled: named", way.__name__.replace("_", " "), "", "", "", named, ""]


def by_segment(probe: Embeddings) -> Embeddings:
    """Without short windows."""
    return replace(probe, windows=None)


def by_window(probe: Embeddings) -> Embeddings:
    """As it is."""
    return probe


def names_of(answer: Answer) -> set[str]:
    """Who is named; without windows, candidates with a part of the song of their own are."""
    if len(answer.voices) > 1 or not answer.named:
        return set(answer.named)
    also = [c for c in answer.top[1:] if c.probability > max(0.2, answer.unknown_probability) and c.share >= 0.25]
    return {answer.named[0], *(candidate.singer for candidate in also)}


def main() -> None:
    given = measure.arguments(
        __doc__,
        songs={"type": Path, "help": "folder of whole songs"},
        singing={"type": Path, "help": "folder singer/*.audio with RAVDESS' names"},
        encoder={"default": "default"},
    )
    torch.set_num_threads(1)
    embedder, detector = TrackEmbedder(given.encoder), ActivityDetector()
    for folder, read in ((given.songs, lambda path: from_song(path, detector)), (given.singing, from_clips)):
        if folder is not None:
            paths = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.suffix in audio.AUDIO_ENDINGS]
            singers = [read(path) for path in paths if path.name != "words"]
            print(f"\n{folder.name}: {len(singers)} singers")
            rows = list(measured(singers, embedder, 6 if given.quick else 45))
            measure.table(
                ("duet", "way", "both named", "with a look", "one named", "others", "diarization error"), rows
            )


if __name__ == "__main__":
    main()
