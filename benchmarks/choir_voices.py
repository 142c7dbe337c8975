"""Is identity in a choir's voices? A speaker encoder on stems, mixtures, bands and clones.

Reads a choir made by ``whosings choir``. The encoder is any checkpoint; an independent one is CAM++ as published, made
by `recipes/convert_campplus.py`. Songs are compared by the cosine of mean embeddings, singers by the mean of their
other songs. The band cue is judged by a model that hears nothing but instrumentals: the mean and spread of their
log-mel bands, nearest singer. `--singing FOLDER` adds real singing for scale: `singer/*.audio` of short clips. A method
of cloning is weak (`whosings.choir.conversion.WEAK`) where fewer than 70 % of its clones are nearer to their target
than to their source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import measure
import numpy as np
import torch
from numpy.typing import NDArray

from whosings import audio
from whosings.catalogue.manifest import Manifest, Track, from_folder, read_manifest
from whosings.config import FrontEndConfig
from whosings.embedding import TrackEmbedder
from whosings.spectrogram import LogMel

Array = NDArray[np.float64]
Embed = Callable[[audio.FloatArray], Array]
CLIPS_A_SONG = 8  # real clips joined, because one of them is too short


def main() -> None:
    given = measure.arguments(
        __doc__,
        encoder={"default": "default", "help": "name or folder of a checkpoint"},
        choir={"type": Path, "default": Path("choir-small"), "help": "folder of the choir"},
        singers={"type": int, "default": 100, "help": "closed singers compared"},
        singing={"type": Path, "help": "folder singer/*.audio of real singing"},
    )
    torch.set_num_threads(1)
    voice, band = speaker_encoder(given.encoder), band_features()
    whole = read_manifest(given.choir / "choir.parquet")
    closed = closed_singers(given.choir, 8 if given.quick else given.singers)
    names = list(closed)
    songs = [track for tracks in closed.values() for track in tracks]
    labels = np.array([names.index(track.singer_id) for track in songs])
    rows: list[tuple[str, int, float, float, float, float]] = []

    def compare(title: str, embeddings: Array) -> Array:
        found = nearest(embeddings, labels)
        rows.append((title, len(songs), *found))
        return found

    stems = embed(voice, [track.vocals_path for track in songs])
    vocals = compare("vocal stems", stems)
    mixtures = compare("mixtures", embed(voice, [track.path for track in songs]))
    bands = embed(band, [track.instrumental_path for track in songs])
    backings = compare("instrumentals, their own features", standard(bands, bands))
    if given.singing is not None:
        real, real_labels = real_singing(given.singing, voice)
        rows.append(("real singing", len(real), *nearest(real, real_labels)))
    measure.table(("material", "songs", "nearest singer", "EER", "same cosine", "other cosine"), rows)

    centroids = unit(np.array([stems[labels == n].mean(axis=0) for n in range(len(names))]))
    of_bands = np.array([standard(bands, bands)[labels == n].mean(axis=0) for n in range(len(names))])
    clones = [track for track in whole.tracks if track.cloned and track.target_singer_ids[0] in names]
    figures: dict[str, float] = {}
    lines = []
    for method in sorted({str(clone.clone_method) for clone in clones}):
        some = [clone for clone in clones if clone.clone_method == method]
        found = embed(voice, [clone.vocals_path for clone in some])
        truth = np.array([names.index(clone.target_singer_ids[0]) for clone in some])
        to_target = (found * centroids[truth]).sum(axis=1)
        to_source = cosine_to_sources(found, some, whole, voice)
        known = ~np.isnan(to_source)
        closer = float(np.mean(to_target[known] > to_source[known]))
        top = float(np.mean((found @ centroids.T).argmax(axis=1) == truth))
        backs = standard(embed(band, [clone.instrumental_path for clone in some]), bands)
        heard = np.linalg.norm(backs[:, None] - of_bands[None], axis=2).argmin(axis=1)
        cue = float(np.mean(heard == truth))
        lines.append((method, len(some), closer, top, float(to_target.mean()), float(to_source[known].mean()), cue))
        figures |= {f"{method}_closer": closer, f"{method}_top_1": top, f"{method}_band_cue": cue}
    measure.table(
        ("clones by", "clones", "nearer to target", "target first", "to target", "to source", "band says target"), lines
    )
    measure.finish(
        "choir_voices",
        given.quick,
        singers=len(names),
        chance=1 / len(names),
        vocals_top_1=float(vocals[0]),
        mixtures_top_1=float(mixtures[0]),
        bands_top_1=float(backings[0]),
        **figures,
    )


def closed_singers(choir: Path, count: int) -> dict[str, tuple[Track, ...]]:
    """The first so many, who are the ones that are cloned."""
    return dict(list(read_manifest(choir / "closed.parquet").by_singer.items())[:count])


def speaker_encoder(name: str) -> Embed:
    embedder = TrackEmbedder(name)

    def embedding(samples: audio.FloatArray) -> Array:
        vectors = embedder(audio.Segment(samples[None], 0.0, "song")).vectors
        return np.asarray(unit(vectors.astype(np.float64).sum(axis=0)))  # of zeros where nobody is heard

    return embedding


def band_features() -> Embed:
    front_end = LogMel(FrontEndConfig())

    def features(samples: audio.FloatArray) -> Array:
        with torch.inference_mode():
            mel = front_end(torch.from_numpy(samples)[None, None])[0, 0].double().numpy()
        return np.concatenate([mel.mean(axis=1), mel.std(axis=1)])

    return features


def embed(function: Embed, paths: Sequence[Path | None]) -> Array:
    return np.array([function(audio.load(path).samples[0]) for path in paths if path is not None])


def nearest(embeddings: Array, labels: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """Share of songs nearest to their singer's other songs; EER; mean cosine within and between singers."""
    embeddings = unit(embeddings)
    sums = np.array([embeddings[labels == n].sum(axis=0) for n in range(labels.max() + 1)])
    hits = []
    for row, label in zip(embeddings, labels, strict=True):
        others = sums.copy()
        others[label] -= row
        hits.append(int((unit(others) @ row).argmax()) == label)
    cosines = embeddings @ embeddings.T
    same = labels[:, None] == labels
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    own, other = cosines[same & upper], cosines[~same & upper]
    return float(np.mean(hits)), equal_error(own, other), float(own.mean()), float(other.mean())


def equal_error(own: Array, other: Array) -> float:
    thresholds = np.quantile(np.concatenate([own, other]), np.linspace(0, 1, 2001))
    rejects = np.searchsorted(np.sort(own), thresholds) / own.size
    accepts = 1 - np.searchsorted(np.sort(other), thresholds) / other.size
    place = np.abs(rejects - accepts).argmin()
    return float((rejects[place] + accepts[place]) / 2)


def cosine_to_sources(clones: Array, tracks: Sequence[Track], whole: Manifest, voice: Embed) -> Array:
    """To the mean of the source singer's songs; a newcomer has none, and the clone is left out (NaN)."""
    known: dict[str, Array] = {}
    out = []
    for row, track in zip(clones, tracks, strict=True):
        songs = [other for other in whole.by_singer[track.singer_id] if not other.cloned][:3]
        if not songs:
            out.append(np.nan)
            continue
        if track.singer_id not in known:
            known[track.singer_id] = unit(embed(voice, [song.vocals_path for song in songs]).mean(axis=0))
        out.append(float(row @ known[track.singer_id]))
    return np.array(out)


def real_singing(folder: Path, voice: Embed) -> tuple[Array, NDArray[np.int64]]:
    embeddings, labels = [], []
    for number, tracks in enumerate(from_folder(folder).by_singer.values()):
        for first in range(0, len(tracks) - CLIPS_A_SONG + 1, CLIPS_A_SONG):
            clips = [audio.load(track.path).samples[0] for track in tracks[first : first + CLIPS_A_SONG]]
            embeddings.append(voice(np.concatenate(clips)))
            labels.append(number)
    return np.array(embeddings), np.array(labels)


def standard(rows: Array, reference: Array) -> Array:
    return np.asarray((rows - reference.mean(axis=0)) / (reference.std(axis=0) + 1e-9))


def unit(rows: Array) -> Array:
    return np.asarray(rows / (np.linalg.norm(rows, axis=-1, keepdims=True) + 1e-12))


if __name__ == "__main__":
    main()
