"""Where somebody sings: the network beside a plain energy rule and silero-vad, on real songs with word timings.

    python benchmarks/activity.py --songs FOLDER    # FOLDER/*.mp3 and FOLDER/words/*.csv (word_start, word_end)

A 3-second piece is vocal if words cover at least a third of it. The energy rule and silero-vad (a voice detector for
speech, which installs with its model) are given their best threshold on these very songs; the network has the one that
ships. Without songs only the speed is measured, on a generated one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.vocals.activity import PIECE_S, level_activity, piece_levels_db
from whosings.vocals.detector import ActivityDetector

Array = NDArray[np.float64]
SUNG = 1 / 3  # of a piece
FINE = 100  # steps a second


@dataclass(frozen=True)
class Song:
    """A real song, and which of its pieces are vocal."""

    name: str
    samples: NDArray[np.float32]
    sung: NDArray[np.bool_]


def read_songs(folder: Path) -> list[Song]:
    songs = []
    for path in sorted(p for p in folder.iterdir() if p.suffix in audio.AUDIO_ENDINGS):
        samples = audio.load(path).samples
        pieces = piece_levels_db(Segment(samples, 0.0, "")).size
        covered = np.zeros(round(FINE * PIECE_S) * pieces, bool)
        with (folder / "words" / f"{path.stem}.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                covered[round(FINE * float(row["word_start"])) : round(FINE * float(row["word_end"]))] = True
        songs.append(Song(path.stem, samples, covered.reshape(pieces, -1).mean(axis=1) >= SUNG))
    return songs


def silero() -> Callable[[NDArray[np.float32]], Array]:
    from silero_vad import load_silero_vad

    model = load_silero_vad()

    def judge(samples: NDArray[np.float32]) -> Array:
        with torch.no_grad():
            chunks = model.audio_forward(torch.from_numpy(samples.mean(axis=0)), sr=SAMPLE_RATE)[0].double().numpy()
        piece = (np.arange(chunks.size) * 512 / SAMPLE_RATE // PIECE_S).astype(int)
        count = piece_levels_db(Segment(samples, 0.0, "")).size
        return np.array([chunks[piece == n].mean() if (piece == n).any() else 0.0 for n in range(count)])

    return judge


def auc(scores: Array, sung: NDArray[np.bool_]) -> float:
    """Chance that a vocal piece scores above another one; NaN where there is only one kind."""
    if sung.all() or not sung.any():
        return float("nan")
    above = scores[sung][:, None] - scores[~sung][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def f1(scores: Array, sung: NDArray[np.bool_], threshold: float) -> float:
    found = scores >= threshold
    return float(2 * (found & sung).sum() / (found.sum() + sung.sum()))


def main() -> None:
    options = measure.arguments(__doc__, songs={"type": Path, "help": "folder of songs with words/*.csv"})
    torch.set_num_threads(1)
    detector = ActivityDetector()
    ways: dict[str, Callable[[NDArray[np.float32]], Array]] = {
        "network": lambda samples: detector(samples).probability,
        "energy rule": lambda samples: level_activity(samples).probability,
        "silero-vad": silero(),
    }
    figures: dict[str, float | None] = {}
    if options.songs is not None:
        songs = read_songs(options.songs)
        scores = {name: [judge(song.samples) for song in songs] for name, judge in ways.items()}
        sung = np.concatenate([song.sung for song in songs])
        rows: list[list[object]] = []
        for number, song in enumerate(songs):
            aucs = [auc(scores[name][number], song.sung) for name in ways]
            own = f1(scores["network"][number], song.sung, 0.5)
            rows.append([song.name[:30], song.sung.size, song.sung.mean(), *aucs, own])
        pooled = {name: np.concatenate(parts) for name, parts in scores.items()}
        shipped = f1(pooled["network"], sung, 0.5)
        rows.append(["all pieces", sung.size, sung.mean(), *(auc(s, sung) for s in pooled.values()), shipped])
        print("AUC of each way, song by song and over all pieces; F1 of the network at the shipped threshold")
        measure.table(["song", "pieces", "sung", *ways, "F1"], rows)
        best = {name: max(f1(s, sung, t) for t in np.unique(s)) for name, s in pooled.items()}
        rows = [[n, auc(s, sung), best[n], shipped if n == "network" else ""] for n, s in pooled.items()]
        rows.append(["everything is sung", 0.5, f1(np.ones(sung.size), sung, 0.5), ""])
        measure.table(["way", "AUC", "best F1 here", "F1 as shipped"], rows)
        figures = {f"auc {name}": auc(s, sung) for name, s in pooled.items()}
        figures["f1"] = shipped
    duration_s = 30.0 if options.quick else 240.0
    song = record(draw_singer(0, 0), 0, duration_s).mixture[None]
    seconds = measure.interleaved({name: (lambda j=judge: j(song)) for name, judge in ways.items()}, 3)
    measure.table(
        ["way", "seconds", "real-time factor"], [[n, s, s * SAMPLE_RATE / song.shape[1]] for n, s in seconds.items()]
    )
    measure.finish("activity", options.quick, silero_ratio=seconds["silero-vad"] / seconds["network"], **figures)


if __name__ == "__main__":
    main()
