"""Real singing and clones of it: who sings a clip, alone and over bands, by any encoder of `whosings evaluate`.

Reads `singer/*.audio` with the names of RAVDESS (the sentence is the fifth number); clips with other names are taken in
turn. Each singer is enrolled with the clips of one sentence and probed with single clips of the other, and with five of
them together, against everybody's mean voice. EER is over all pairs of probe and singer. A clip in which no singing is
heard counts as wrong. Through effects, each clip has an equaliser, room, band limits, dynamics, noise and codec of its
own, so that a singer's microphone tells nothing. Over a band, the voice is 8 dB above it to 4 dB under it; their own
band is one for each singer, whose first half plays at enrolment and whose second half behind probes. Clones are the
probes in another singer's timbre, learned from that singer's enrolled clips by the conversions of `whosings.choir` in
turn; over the source's own band, an encoder that listens to bands names the source. A perfect clone is the singer's own
clip over another one's band. With `--bands`, a folder of recordings without singing, all that is asked over recorded
bands, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.audio import SAMPLE_RATE, Segment
from whosings.choir.band import draw_palette, play
from whosings.choir.conversion import METHODS, gather
from whosings.choir.score import compose
from whosings.embedding import TrackEmbedder
from whosings.evaluation.baselines import open_segments
from whosings.metrics import equal_error_rate
from whosings.sound.vocoder import analyze, sound
from whosings.training.contrastive.augment import Chances, produce

BANDS, BAND_S, TOGETHER = 40, 20, 5
Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Probes:
    """What is asked: sounds, the right singers, and of clones whose performance they are."""

    enrolled: str
    sounds: list[Segment]
    truth: Places
    sources: Places | None = None


@dataclass(frozen=True)
class Bands:
    """Anybody's bands, and each singer's own: what plays at enrolment, and what plays behind probes."""

    anybodys: list[audio.FloatArray]
    own: list[list[audio.FloatArray]]

    @classmethod
    def recorded(cls, folder: Path, singers: int) -> Bands:
        """The middles of what lies in a folder, in its order; every other one is for everybody."""
        half, middles = BAND_S * SAMPLE_RATE, []
        for path in sorted(folder.iterdir()):
            music = audio.load(path).samples.mean(axis=0)
            if music.size >= 2 * half:
                middles.append(music[music.size // 2 - half : music.size // 2 + half].copy())
        if len(middles) < 2 * singers:
            raise SystemExit(f"{folder}: {2 * singers} recordings of at least {2 * BAND_S} s are needed")
        return cls(middles[::2], [np.array_split(middle, 2) for middle in middles[1::2][:singers]])

    def behind(
        self, alone: list[Segment], who: Places, enrolled: NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[list[Segment], list[Segment]]:
        """Clips over anybody's band, and over their singer's own."""
        over_any = [over(clip, self.anybodys[int(rng.integers(len(self.anybodys)))], rng) for clip in alone]
        over_own = [over(clip, self.own[who[n]][int(not enrolled[n])], rng) for n, clip in enumerate(alone)]
        return over_any, over_own


def main() -> None:
    given = measure.arguments(
        __doc__,
        singing={"type": Path, "required": True, "help": "folder singer/*.audio"},
        encoders={"nargs": "+", "default": ["default", "fast"]},
        bands={"type": Path, "help": "folder of recorded music without singing"},
        clones={"type": Path, "help": "file in which the clones are kept from one call to the next (.npz)"},
    )
    torch.set_num_threads(1)
    clips = [(folder.name, path) for folder in sorted(given.singing.iterdir()) for path in sorted(folder.glob("*"))]
    clips = clips[:: 4 if given.quick else 1]
    names = sorted({singer for singer, _ in clips})
    who = np.array([names.index(singer) for singer, _ in clips])
    parts = [path.stem.split("-") for _, path in clips]
    enrolled = np.array([part[4] == "01" if len(part) == 7 else n % 2 == 0 for n, part in enumerate(parts)])
    probes = np.flatnonzero(~enrolled)
    alone = [audio.load(path) for _, path in clips]
    rng = np.random.default_rng(3)
    generated = Bands(
        [band(number, BAND_S) for number in range(BANDS)],
        [np.array_split(band(1000 + number, 2 * BAND_S), 2) for number in range(len(names))],
    )
    over_any, over_own = generated.behind(alone, who, enrolled, rng)
    targets = somebody_else(who[probes], len(names), rng)
    made = clones(alone, who, enrolled, probes, targets, given.clones)
    effects = np.random.default_rng(5)
    known = {
        "a cappella": alone,
        "through effects": [through(clip, effects) for clip in alone],
        "over a band": over_any,
        "over their own band": over_own,
    }
    asked = {title: Probes(title, [sounds[p] for p in probes], who[probes]) for title, sounds in known.items()}
    asked["clones"] = Probes("a cappella", made, targets, who[probes])
    backed = [over(clone, generated.own[who[p]][1], rng) for clone, p in zip(made, probes, strict=True)]
    asked["clones over the source's band"] = Probes("over their own band", backed, targets, who[probes])
    owner = np.random.default_rng(9)
    others = somebody_else(who[probes], len(names), owner)
    perfect = [over(alone[p], generated.own[o][1], owner) for p, o in zip(probes, others, strict=True)]
    asked["perfect clones over the source's band"] = Probes("over their own band", perfect, who[probes], others)
    if given.bands is not None:
        rng = np.random.default_rng(6)
        recorded = Bands.recorded(given.bands, len(names))
        titles = ("over a recorded band", "over their own recorded band")
        for title, sounds in zip(titles, recorded.behind(alone, who, enrolled, rng), strict=True):
            known[title] = sounds
            asked[title] = Probes(title, [sounds[p] for p in probes], who[probes])
        perfect = [over(alone[p], recorded.own[o][1], rng) for p, o in zip(probes, others, strict=True)]
        title = "perfect clones over the source's recorded band"
        asked[title] = Probes("over their own recorded band", perfect, who[probes], others)
    rows, figures = [], {}
    for name in given.encoders:
        embedder = TrackEmbedder(open_segments(name))
        # Enrolled as in life, from what there is: alone for alone, over bands for over bands.
        vectors = {t: embed(embedder, [sounds[n] for n in np.flatnonzero(enrolled)]) for t, sounds in known.items()}
        for title, some in asked.items():
            found = compare(vectors[some.enrolled], who[enrolled], embed(embedder, some.sounds), some)
            rows.append((title, name, int(enrolled.sum()), int(probes.size), *found.values()))
            key = f"{Path(name).name}_{title.replace(' ', '_')}"
            figures |= {f"{key}_{what}": value for what, value in found.items() if np.isfinite(value)}
    header = ("material", "encoder", "enrolled", "probes", "top-1", "EER", "five clips together", "source named")
    measure.table(header, rows)
    measure.finish("real_singing", given.quick, singers=len(names), **figures)


def somebody_else(who: Places, singers: int, rng: np.random.Generator) -> Places:
    """Another singer for each, drawn evenly."""
    return (who + rng.integers(1, singers, who.size)) % singers


def band(seed: int, seconds: float) -> audio.FloatArray:
    """A band that no shipped model heard."""
    rng = np.random.default_rng([77, seed])
    palette = draw_palette(rng)
    return play(palette, compose(rng, seconds, 60, palette.tempo), rng)


def over(sound: Segment, music: audio.FloatArray, rng: np.random.Generator) -> Segment:
    voice = sound.samples[0]
    first = int(rng.integers(0, music.size - voice.size))
    under = music[first : first + voice.size]
    loud = voice[np.abs(voice) > 0.05 * np.abs(voice).max()]
    ratio_db = rng.uniform(-4, 8)
    mix = voice / np.sqrt(np.mean(loud**2)) + under / (under.std() + 1e-9) * 10 ** (-ratio_db / 20)
    return Segment((mix / np.abs(mix).max()).astype(np.float32)[None], 0.0, sound.track_id)


def through(sound: Segment, rng: np.random.Generator) -> Segment:
    """Effects that a voice stays the same under: pitch, formants, speed and vocoders are left alone."""
    chances = replace(Chances(), speed=0.0, pitch=0.0, formants=0.0, correction=0.0, vocoder=0.0, phases=0.0)
    voice = torch.from_numpy(np.asarray(sound.samples[:1], np.float32))[None]
    made = produce(voice, torch.zeros_like(voice), torch.tensor([torch.inf]), rng, chances)[0].numpy()
    return Segment(made / np.float32(max(1e-9, np.abs(made).max())), 0.0, sound.track_id)


def clones(
    alone: list[Segment], who: Places, enrolled: NDArray[np.bool_], probes: Places, targets: Places, kept: Path | None
) -> list[Segment]:
    """Each probe in its target's timbre, learned from the target's enrolled clips."""
    if kept is not None and kept.exists():
        held = np.load(kept)
        return [Segment(held[str(place)][None], 0.0, f"clone-{place}") for place in range(probes.size)]
    frames = [analyze(clip.samples[0]) for clip in alone]
    voices = {
        target: gather([frames[n] for n in np.flatnonzero(enrolled & (who == target))], f"singer {target}")
        for target in np.unique(targets)
    }
    methods = list(METHODS.values())
    rng = np.random.default_rng(4)
    made = [
        sound(methods[place % len(methods)](frames[p], voices[target]), rng)
        for place, (p, target) in enumerate(zip(probes, targets, strict=True))
    ]
    made = [wave[: 3 * SAMPLE_RATE] / np.float32(max(1e-9, np.abs(wave).max())) for wave in made]
    if kept is not None:
        np.savez(kept, **{str(place): wave for place, wave in enumerate(made)})
    return [Segment(wave[None], 0.0, f"clone-{place}") for place, wave in enumerate(made)]


def embed(embedder: TrackEmbedder, sounds: list[Segment]) -> Array:
    """Mean vectors, of unit length; zeros where nobody is heard."""
    rows = []
    for clip in sounds:
        vectors = embedder(clip).vectors
        mean = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1])
        rows.append(mean / max(1e-9, float(np.linalg.norm(mean))))
    return np.array(rows, float)


def compare(known: Array, singer: Places, vectors: Array, probes: Probes) -> dict[str, float]:
    """Top-1, EER, top-1 of five clips together, and how often a clone's source is named.

    The mean voice of all singers is taken away, as the product does.
    """
    truth = probes.truth
    voices = np.array([known[singer == s].mean(axis=0) for s in np.unique(singer)])
    centre = voices.mean(axis=0)
    voices = unit(voices - centre)
    heard = np.linalg.norm(vectors, axis=1) > 0
    scores = unit(vectors - centre) @ voices.T
    named = np.where(heard, scores.argmax(axis=1), -1)
    own = np.eye(len(voices), dtype=bool)[truth]
    groups, answers = [], []
    for s in np.unique(truth) if probes.sources is None else ():  # clones of one target have no studio in common
        mine = vectors[(truth == s) & heard]
        for first in range(0, len(mine) - TOGETHER + 1, TOGETHER):
            groups.append(mine[first : first + TOGETHER].mean(axis=0))
            answers.append(s)
    five = (unit(np.array(groups) - centre) @ voices.T).argmax(axis=1) == answers if groups else np.array([np.nan])
    return {
        "top_1": float(np.mean(named == truth)),
        "eer": equal_error_rate(scores[own], scores[~own]),
        "five": float(np.mean(five)),
        "source": np.nan if probes.sources is None else float(np.mean(named == probes.sources)),
    }


def unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


if __name__ == "__main__":
    main()
