"""A manifest's tracks as embeddings, all in memory: what evaluations run on.

Conventions
-----------
- A track is embedded where somebody sings, through ``TrackEmbedder``; stored as float16, used as float32.
- ``stem``: ``mixture`` listens to a track's ``path``, ``vocal`` to its ``vocals_path``.
- Stored embeddings belong to one embedder and one stem; a run that is interrupted goes on where it stopped.
- Short windows, by which voices are told apart, are kept of those tracks of which they are asked, in a file beside: a
  song of 200 seconds takes 150 kB of windows and 25 kB of segments (192 dimensions).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet

from whosings.audio import FloatArray
from whosings.catalogue.manifest import Manifest, Track
from whosings.classifier import Tracks
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.embedding_store import EmbeddingStore
from whosings.errors import AudioError, EvaluationError
from whosings.files import content_hash
from whosings.segment_embedding import WINDOW_HOP_S, WINDOW_S, Windows
from whosings.storage import content_mark

Stem = Literal["mixture", "vocal"]
EmbedFiles = Callable[[Sequence[Path | str]], Iterator[Embeddings | AudioError]]
"""Embeds files in order, as ``TrackEmbedder.many`` and ``many_embeddings.embed_each`` do."""


@dataclass(frozen=True)
class Corpus:
    """Embedded tracks.

    Attributes:
        tracks: those with at least one sung segment.
        vectors: float32 (segments, dimensions), the tracks' one after the other.
        first: (tracks + 1,) the row at which each track begins, and the number of rows.
        start_s: (segments,) where each segment begins, in seconds into its track.
        fingerprint: the embedder's.
        windows: short windows of some tracks in the place of segments, of which ``vectors`` are float16; None where
            none were kept.
    """

    tracks: tuple[Track, ...]
    vectors: FloatArray
    first: np.ndarray[tuple[int], np.dtype[np.int64]]
    start_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    fingerprint: str
    windows: Corpus | None = None

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each track is, by its id."""
        return {track.track_id: number for number, track in enumerate(self.tracks)}

    def of(self, track_id: str) -> FloatArray:
        """One track's embeddings; no rows where it has none."""
        return np.asarray(self.vectors[self._rows(track_id)], np.float32)

    def windows_of(self, track_id: str) -> Windows | None:
        """One track's short windows; None where none were kept."""
        if self.windows is None or track_id not in self.windows.place:
            return None
        return Windows(self.windows.of(track_id), self.windows.start_s[self.windows._rows(track_id)])

    def _rows(self, track_id: str) -> slice:
        number = self.place.get(track_id)
        return slice(0) if number is None else slice(int(self.first[number]), int(self.first[number + 1]))

    def rows(self, tracks: Sequence[Track], labels: Sequence[int]) -> Tracks:
        """Tracks as ranges of rows, with their classes; a track without embeddings has the length 0."""
        places = [self.place.get(track.track_id) for track in tracks]
        start = [0 if place is None else int(self.first[place]) for place in places]
        length = [0 if place is None else int(self.first[place + 1] - self.first[place]) for place in places]
        return Tracks(*(np.array(column, np.int64) for column in (labels, start, length)))


@dataclass(frozen=True)
class Embedded:
    """A corpus, and which tracks are not in it.

    Attributes:
        unsung: tracks in which no singing is heard.
        failures: errors of the tracks that cannot be used.
    """

    corpus: Corpus
    unsung: tuple[Track, ...]
    failures: tuple[AudioError, ...]


def embed_manifest(
    embedder: TrackEmbedder,
    manifest: Manifest,
    store: str | Path,
    stem: Stem = "mixture",
    progress: Callable[[], None] = lambda: None,
    windows_of: Collection[str] = (),
    by: EmbedFiles | None = None,
) -> Embedded:
    """Embed what is not yet in the store, and read it all.

    Args:
        store: Parquet file; made, or gone on with.
        progress: called after each track.
        windows_of: tracks whose short windows are kept, too, if the embedder gives any.
        by: embeds files in order, with the same embedder; None does so in this process.

    Raises:
        EvaluationError: a track without the stem, or no track with singing.
        ManifestError: the store is another embedder's.
    """
    paths: dict[str, Path | str] = {}
    for track in manifest.tracks:
        path = track.path if stem == "mixture" else track.vocals_path
        if path is None:
            raise EvaluationError(f"track {track.track_id}", "has no vocals_path", "separate it, or take mixtures")
        paths[track.track_id] = path
    failures: dict[str, AudioError] = {}
    store = Path(store)
    beside = store.with_stem(f"{store.stem}-windows")
    windows_of = paths.keys() & set(windows_of) if embedder.gives_windows else ()
    with ExitStack() as opened:
        stored = opened.enter_context(EmbeddingStore(store, embedder.fingerprint))
        short = opened.enter_context(EmbeddingStore(beside, _windows_print(embedder))) if windows_of else None
        hashes = {track_id: content_mark(str(path)) for track_id, path in paths.items()}

        def done(track_id: str) -> bool:
            wanted = [stored] if short is None or track_id not in windows_of else [stored, short]
            return all(one.holds(track_id, hashes[track_id]) for one in wanted)

        todo = [track_id for track_id in paths if not done(track_id)]
        for _ in range(len(paths) - len(todo)):
            progress()
        results = (by or embedder.many)([paths[track_id] for track_id in todo])
        for track_id, result in zip(todo, results, strict=True):
            if isinstance(result, AudioError):
                failures[track_id] = result
            elif len(result.vectors):
                stored.add(replace(result, track_id=track_id), track_id, hashes[track_id])
                if short is not None and track_id in windows_of and result.windows is not None:
                    short.add(_windows(result, result.windows, track_id), track_id, hashes[track_id])
            progress()
        if not stored.finish():
            raise EvaluationError("the manifest", "has no track with singing", "check the files")
        kept = short is not None and any(short.holds(track_id, hashes[track_id]) for track_id in windows_of)
        if short is not None:
            short.finish()
    corpus = _read(store, manifest, embedder.fingerprint)
    if kept:
        corpus = replace(corpus, windows=_read(beside, manifest, _windows_print(embedder), np.float16))
    unsung = tuple(t for t in manifest.tracks if t.track_id not in corpus.place and t.track_id not in failures)
    return Embedded(corpus, unsung, tuple(failures.values()))


def without_copies(
    manifests: Sequence[Manifest], corpus: Corpus, progress: Callable[[], None] = lambda: None
) -> set[str]:
    """Tracks of the first manifests that are, byte for byte, a track of a later one: they would give answers away.

    Args:
        manifests: in the order in which copies are to be left out, say training, validation, test.
        corpus: only tracks with embeddings count.
        progress: called after each track; files without a known content hash are read.
    """
    seen: dict[str, int] = {}
    hashes: dict[str, str] = {}
    for number, manifest in enumerate(manifests):
        for track in manifest.tracks:
            if track.track_id in corpus.place:
                hashes[track.track_id] = track.sha256 or content_hash(track.path)
                seen[hashes[track.track_id]] = number
            progress()
    return {
        track.track_id
        for number, manifest in enumerate(manifests)
        for track in manifest.tracks
        if track.track_id in hashes and seen[hashes[track.track_id]] > number
    }


def _windows_print(embedder: TrackEmbedder) -> str:
    """What tells a file of windows from one of segments."""
    return f"{embedder.fingerprint} in windows of {WINDOW_S:g} s every {WINDOW_HOP_S:g} s"


def _windows(track: Embeddings, windows: Windows, track_id: str) -> Embeddings:
    """Windows as rows of a store."""
    sung = np.array([track.activity.of(float(start), windows.window_s) for start in windows.start_s])
    return replace(track, track_id=track_id, vectors=windows.vectors, start_s=windows.start_s, vocal=sung)


def _read(store: Path, manifest: Manifest, fingerprint: str, kind: type[np.floating[Any]] = np.float32) -> Corpus:
    table = pyarrow.parquet.read_table(store)
    names = table["track_id"].to_numpy(zero_copy_only=False)
    column = table["embedding"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(names), -1)
    start_s = table["start_s"].to_numpy()
    edges = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1], [True]]))  # tracks lie together
    places = {names[first]: (int(first), int(end)) for first, end in pairwise(edges)}
    tracks = tuple(track for track in manifest.tracks if track.track_id in places)
    if not tracks:
        raise EvaluationError("the manifest", "has no track with singing", "check the files")
    index = np.concatenate([np.arange(*places[track.track_id]) for track in tracks])
    lengths = [places[track.track_id][1] - places[track.track_id][0] for track in tracks]
    first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Corpus(tracks, vectors[index].astype(kind), first, start_s[index], fingerprint)
