"""What Spleeter's vocals cost and what they are good for: time beside demucs, who sings, and where somebody sings.

    python benchmarks/stems.py --part cost --songs SONGS
    python benchmarks/stems.py --part windows --songs SONGS
    python benchmarks/stems.py --part songs --songs SONGS       # FOLDER/*.mp3 and FOLDER/words/*.csv
    python benchmarks/stems.py --part activity --songs SONGS
    python benchmarks/stems.py --part singers --singing RAVDESS  # FOLDER/singer/*

`cost` separates the first song as a whole, by Spleeter and by a demucs of full size with random weights (which do not
affect its cost), each in a process of its own, and that song six times over by Spleeter. `windows` compares a
minute of each song, in windows that overlap, with windows side by side as Deezer's program lays them, and these with
themselves where the minute begins a little later. `songs` enrols the first half
of each song and asks with single segments of the second, at places where the mixture is sung: as mixtures, as vocal
stems, and as what is left of them, which says how much the band alone gives away. `activity` judges 3-second pieces as
`activity.py` does, with the network on mixtures and stems and by level alone. `singers` mixes real clips over generated
bands as `real_singing.py` does, over anybody's and over each singer's own, and asks with the mixtures and with what
Spleeter makes of them. Another singer's own band behind a probe says whom a borrowed band names. One thread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import activity
import measure
import numpy as np
import real_singing
import soxr
import torch
from numpy.typing import NDArray
from separation import FULL, QUICK, repeated, save_model

from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.embedding import TrackEmbedder
from whosings.evaluation.baselines import open_segments
from whosings.metrics import equal_error_rate, share_interval
from whosings.vocals.activity import level_activity, piece_levels_db
from whosings.vocals.detector import ActivityDetector
from whosings.vocals.separation import Stems, separate_track
from whosings.vocals.separation_model import Separator
from whosings.vocals.separators import open_separator
from whosings.vocals.streaming import Tape, vocals_of

Array = NDArray[np.float64]
Places = NDArray[np.intp]
LATE_S = 5.0176  # no whole number of a model's frames
LONG = 6  # times the song, for the memory of a long one


def main() -> None:
    given = measure.arguments(
        __doc__,
        part={"choices": list(PARTS), "required": True},
        songs={"type": Path, "help": "folder of songs with words/*.csv"},
        singing={"type": Path, "help": "folder singer/*.audio"},
        model={"default": "spleeter", "help": "what separates, as whosings separate --model takes it"},
        every={"type": int, "default": 2, "help": "of the clips of singers, every N-th is taken"},
        encoders={"nargs": "+", "default": ["default", "fast"]},
    )
    if (given.singing if given.part == "singers" else given.songs) is None:
        raise SystemExit(f"--part {given.part} needs {'--singing' if given.part == 'singers' else '--songs'}")
    torch.set_num_threads(1)
    figures = PARTS[given.part](given)
    measure.finish(f"stems {given.part}", given.quick, **figures)


# Cost


def cost(given: object) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        song = next(path for path in songs_of(given))
        if given.quick:
            song = repeated(song, folder / "short.flac", 30.0)
        lasts = audio.probe(song).duration_s
        long = repeated(song, folder / "long.flac", LONG * lasts)
        demucs = f"demucs:{save_model(folder / 'model', QUICK if given.quick else FULL)}"
        runs = [(given.model, song), (demucs, song), (given.model, song), (given.model, long)]
        costs = [
            measure.in_child(whole_track, spec, path, folder / f"cache-{number}")
            for number, (spec, path) in enumerate(runs)
        ]
    titles = (given.model, "demucs, full size", f"{given.model}, again", f"{given.model}, {LONG} times over")
    measure.table(
        ["what", "lasts s", "took s", "real-time factor", "peak MB"],
        [
            [title, c.result.duration_s, c.seconds, c.seconds / c.result.duration_s, c.peak_mb]
            for title, c in zip(titles, costs, strict=True)
        ],
    )
    ours = (costs[0].seconds + costs[2].seconds) / 2
    return {
        "demucs_ratio": costs[1].seconds / ours,
        "real_time_factor": ours / lasts,
        "peak_mb": costs[0].peak_mb,
        "peak_mb_demucs": costs[1].peak_mb,
        "peak_mb_long": costs[3].peak_mb,
    }


def whole_track(spec: str, song: Path, cache: Path) -> Callable[[], Stems]:
    torch.set_num_threads(1)
    return partial(separate_track, song, open_separator(spec, "cpu"), cache)


# Windows


def windows(given: object) -> dict[str, float]:
    separator = open_separator(given.model, "cpu")
    late = round(LATE_S * separator.sample_rate)
    rows = []
    for path in songs_of(given):
        every = np.concatenate(list(audio.blocks(path, separator.sample_rate, 2)), axis=1)
        minute = every[:, 30 * separator.sample_rate : 90 * separator.sample_rate].copy()
        side_by_side = separator(minute[None])[0].mean(axis=0)
        later = separator(minute[None, :, late:].copy())[0].mean(axis=0)
        joined = np.concatenate(list(vocals_of(Tape(iter([minute])), separator)), axis=1)[0]
        rows.append([path.stem[:30], under_db(joined, side_by_side), under_db(later, side_by_side[late:])])
    measure.table(["song", "overlapping, dB", "side by side but later, dB"], rows)
    return {
        "overlapping_db": float(np.median([r[1] for r in rows])),
        "later_db": float(np.median([r[2] for r in rows])),
    }


def under_db(one: audio.FloatArray, other: audio.FloatArray) -> float:
    """Energy of a difference against that of the vocals, in dB."""
    return float(10 * np.log10(np.mean((one - other) ** 2) / np.mean(other**2)))


# Real songs


def songs_of(given: object) -> list[Path]:
    paths = sorted(path for path in given.songs.iterdir() if path.suffix in audio.AUDIO_ENDINGS)
    return paths[:3] if given.quick else paths


def stems_of(path: Path, separator: Separator, cache: Path) -> dict[str, Segment]:
    stems = separate_track(path, separator, cache)
    named = {"mixture": path, "vocals": stems.vocals, "instrumental": stems.instrumental}
    return {what: Segment(audio.load(file).samples, 0.0, path.stem) for what, file in named.items()}


def songs(given: object) -> dict[str, float]:
    embedders = {name: TrackEmbedder(open_segments(name)) for name in given.encoders}
    separator, detector = open_separator(given.model, "cpu"), ActivityDetector()
    vectors: dict[tuple[str, str], list[Array]] = {}
    halves: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in embedders}
    with tempfile.TemporaryDirectory() as cache:
        for path in songs_of(given):
            sounds = stems_of(path, separator, Path(cache))
            heard, lasts = detector(sounds["mixture"].samples), sounds["mixture"].duration_s
            for name, embedder in embedders.items():
                segment_s = embedder.front_end.segment_s
                start_s = np.arange(0.0, lasts - segment_s, segment_s)  # that share no sound
                start_s = start_s[[heard.of(start, segment_s) >= 0.5 for start in start_s]]
                start_s = start_s[(start_s >= lasts / 2) | (start_s + segment_s <= lasts / 2)]
                halves[name].append(start_s < lasts / 2)
                for what, sound in sounds.items():
                    vectors.setdefault((name, what), []).append(embedder.at(sound, start_s).astype(float))
    rows, figures = [], {}
    for name, enrolled, asked in (
        (name, enrolled, asked)
        for name in embedders
        for enrolled in ("mixture", "vocals", "instrumental")
        for asked in ("mixture", "vocals", "instrumental")
    ):
        known = np.array([v[h].mean(axis=0) for v, h in zip(vectors[name, enrolled], halves[name], strict=True)])
        probes = [v[~h] for v, h in zip(vectors[name, asked], halves[name], strict=True)]
        truth = np.repeat(np.arange(len(probes)), [len(p) for p in probes])
        found = named(known, np.concatenate(probes), truth)
        rows.append([Path(name).name, enrolled, asked, len(probes), truth.size, *found.values()])
        key = f"{Path(name).name}_{enrolled}_{asked}"
        figures |= {f"{key}_{what}": found[what] for what in ("top_1", "eer")}
    measure.table(["encoder", "enrolled", "asked with", "songs", "probes", "top-1", "low", "high", "EER"], rows)
    return figures


def named(known: Array, probes: Array, truth: Places) -> dict[str, float]:
    """Top-1 with its interval over singers, and EER, against everybody's mean voice as the product does it."""
    centre = known.mean(axis=0)
    scores = real_singing.unit(probes - centre) @ real_singing.unit(known - centre).T
    own = np.eye(len(known), dtype=bool)[truth]
    top = share_interval((scores.argmax(axis=1) == truth).astype(float), truth.tolist())
    return {"top_1": top.mean, "low": top.low, "high": top.high, "eer": equal_error_rate(scores[own], scores[~own])}


# Where somebody sings


def heard(given: object) -> dict[str, float]:
    separator, detector = open_separator(given.model, "cpu"), ActivityDetector()
    ways = {
        "network on mixture": lambda s: detector(s["mixture"].samples).probability,
        "network on vocals": lambda s: detector(s["vocals"].samples).probability,
        "level of mixture": lambda s: level_activity(s["mixture"].samples).probability,
        "level of vocals": lambda s: level_activity(s["vocals"].samples).probability,
        "vocals' share of level": lambda s: share_of_level(s["vocals"], s["mixture"]),
    }
    scores: dict[str, list[Array]] = {way: [] for way in ways}
    rows: list[list[object]] = []
    marked = activity.read_songs(given.songs)[: 3 if given.quick else None]
    with tempfile.TemporaryDirectory() as cache:
        for path, song in zip(songs_of(given), marked, strict=True):
            sounds = stems_of(path, separator, Path(cache))
            for way, judge in ways.items():
                scores[way].append(judge(sounds)[: song.sung.size])
            rows.append([song.name[:30], song.sung.mean(), *(activity.auc(s[-1], song.sung) for s in scores.values())])
    sung = np.concatenate([song.sung for song in marked])
    pooled = {way: np.concatenate(parts) for way, parts in scores.items()}
    measure.table(["song", "sung", *ways], rows)
    aucs = {way: activity.auc(s, sung) for way, s in pooled.items()}
    best = {way: max(activity.f1(s, sung, t) for t in np.unique(s)) for way, s in pooled.items()}
    shipped = {way: activity.f1(s, sung, 0.5) for way, s in pooled.items()}
    measure.table(
        ["way", "AUC", "F1 at a half", "best F1 here"],
        [[way, aucs[way], "" if "share" in way else shipped[way], best[way]] for way in ways],
    )
    return {f"auc {way}": value for way, value in aucs.items()} | {f"best f1 {way}": v for way, v in best.items()}


def share_of_level(vocals: Segment, mixture: Segment) -> Array:
    """Level of each piece's vocals under its mixture's, in dB; pieces of silence come last."""
    pieces = [piece_levels_db(sound) for sound in (vocals, mixture)]
    return np.where(pieces[1] > -80, pieces[0] - pieces[1], -200.0)


# Real singers over bands


def singers(given: object) -> dict[str, float]:
    clips = [(folder.name, path) for folder in sorted(given.singing.iterdir()) for path in sorted(folder.glob("*"))]
    clips = clips[:: 4 if given.quick else given.every]
    names = sorted({singer for singer, _ in clips})
    who = np.array([names.index(singer) for singer, _ in clips])
    enrolled = np.array([path.stem.split("-")[4] == "01" for _, path in clips])
    alone = [audio.load(path) for _, path in clips]
    rng = np.random.default_rng(3)
    seconds = real_singing.BAND_S
    own = [np.array_split(real_singing.band(1000 + n, 2 * seconds), 2) for n in range(len(names))]
    bands = real_singing.Bands([real_singing.band(n, seconds) for n in range(real_singing.BANDS)], own)
    over_any, over_own = bands.behind(alone, who, enrolled, rng)
    probes = np.flatnonzero(~enrolled)
    others = real_singing.somebody_else(who[probes], len(names), rng)
    borrowed = [real_singing.over(alone[p], own[o][1], rng) for p, o in zip(probes, others, strict=True)]
    separator = open_separator(given.model, "cpu")
    materials = {"anybody's band": over_any, "their own band": over_own}
    rows, figures = [], {}
    embedded: dict[tuple[str, str, str], Array] = {}
    embedders = {name: TrackEmbedder(open_segments(name)) for name in given.encoders}
    for title, sounds in {"a cappella": alone, **materials, "another's band": borrowed}.items():
        for form in ("as it is", "separated"):
            if form == "separated":
                if title == "a cappella":
                    continue
                sounds = [vocals_of_clip(sound, separator) for sound in sounds]
            for name, embedder in embedders.items():
                embedded[name, title, form] = real_singing.embed(embedder, sounds)
    asked = [("a cappella", "as it is", "a cappella", "as it is")]
    for material in materials:
        asked += [("a cappella", "as it is", material, form) for form in ("as it is", "separated")]
        asked += [(material, a, material, b) for a in ("as it is", "separated") for b in ("as it is", "separated")]
    asked += [("their own band", form, "another's band", form) for form in ("as it is", "separated")]
    for name in embedders:
        for enrolled_as, one, asked_with, other in asked:
            known = embedded[name, enrolled_as, one][enrolled]
            found = embedded[name, asked_with, other]
            found = found if asked_with == "another's band" else found[probes]
            sources = others if asked_with == "another's band" else None
            result = real_singing.compare(
                known, who[enrolled], found, real_singing.Probes(enrolled_as, [], who[probes], sources)
            )
            unheard = float(np.mean(~found.any(axis=1)))
            rows.append([Path(name).name, f"{enrolled_as}, {one}", f"{asked_with}, {other}", *result.values(), unheard])
            key = f"{Path(name).name}_{enrolled_as}_{one}_{asked_with}_{other}".replace(" ", "_").replace("'", "")
            figures |= {f"{key}_{what}": value for what, value in result.items() if np.isfinite(value)}
    print(f"{len(names)} singers, {int(enrolled.sum())} clips enrolled, {probes.size} asked with")
    header = ["encoder", "enrolled", "asked with", "top-1", "EER", "five together", "band's owner named", "unheard"]
    measure.table(header, rows)
    return figures


def vocals_of_clip(sound: Segment, separator: Separator) -> Segment:
    """A clip of 16-kHz mono through a model, as one window."""
    mixture = soxr.resample(sound.samples[0], SAMPLE_RATE, separator.sample_rate)
    vocals = separator(np.stack([mixture, mixture])[None].astype(np.float32))[0].mean(axis=0)
    back = soxr.resample(vocals, separator.sample_rate, SAMPLE_RATE)
    return Segment(back.astype(np.float32)[None], 0.0, sound.track_id)


PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "cost": cost,
    "windows": windows,
    "songs": songs,
    "activity": heard,
    "singers": singers,
}


if __name__ == "__main__":
    main()
