"""Answering against 10,000 enrolled singers (200,000 segments): time beyond embedding, against brute force.

The usual way compares each segment of the probe with every enrolled segment and lets the segments vote.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import measure
import numpy as np
from numpy.typing import NDArray
from torch import nn

from whosings.calibration import calibration_of
from whosings.calibration_fitting import calibrate
from whosings.config import MODELS, ConvolutionalConfig, FrontEndConfig, ModelConfig
from whosings.embedding import Embeddings, TrackEmbedder
from whosings.encoder.checkpoint import Checkpoint
from whosings.enrolled import NewTrack
from whosings.evidence import EvidenceFinder
from whosings.gallery import Gallery
from whosings.identification import Identifier
from whosings.vocals.activity import Activity

FloatArray = NDArray[np.float32]

FINGERPRINT = "0" * 64
TRACKS, SEGMENTS = 2, 10  # of each singer, of each track
PROBE_SEGMENTS = 80
TIMED_SINGERS = 250  # whose enrolment is timed both ways
TURN = 50  # singers that are enrolled one way before the other way's turn
NOISE = 1.2  # of a segment around its singer's voice, whose length is 1


def main() -> None:
    given = measure.arguments(
        __doc__, dimensions={"type": int, "default": 256}, singers={"type": int, "default": 10_000}
    )
    singers, dimensions = (500 if given.quick else given.singers), given.dimensions
    rng = np.random.default_rng(0)
    voices = unit(rng.standard_normal((singers, dimensions), np.float32))
    rows = np.empty((singers, TRACKS, SEGMENTS, dimensions), np.float32)
    for number, voice in enumerate(voices):
        rows[number] = sung(voice, (TRACKS, SEGMENTS), rng)
    target = singers // 2
    probe = as_track("probe", sung(voices[target], (PROBE_SEGMENTS,), rng))
    embedder = TrackEmbedder(checkpoint(dimensions, rng))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "singers.gallery"
        with Gallery(path, FINGERPRINT) as gallery, Gallery(Path(folder) / "other", FINGERPRINT) as other:
            single_s = many_s = 0.0
            for first in range(0, TIMED_SINGERS, TURN):  # the ways take turns
                some = range(first, first + TURN)
                single_s += seconds_of(partial(enrol, gallery, rows, some))
                many_s += seconds_of(partial(other.add_many, new_tracks(rows, some)))
            rest_s = seconds_of(partial(gallery.add_many, new_tracks(rows, range(TIMED_SINGERS, singers))))
        began = time.perf_counter()
        with Gallery(path) as gallery:
            identifier = Identifier(gallery, embedder)
            identifier.answer(probe)
            first_s = time.perf_counter() - began
            everything = rows.reshape(-1, dimensions)
            owner = np.repeat(np.arange(singers), TRACKS * SEGMENTS)
            ways = {
                "ours": partial(identifier.answer, probe),
                "usual": partial(brute_force, probe.vectors, everything, owner),
            }
            seconds = measure.interleaved(ways, repeats=3 if given.quick else 7)
            began = time.process_time()
            answer = identifier.answer(probe)
            processor_s = time.process_time() - began
            finder = EvidenceFinder(gallery, calibration_of(embedder.checkpoint), 6.0)
            began = time.perf_counter()
            finder(answer, probe)
            first_evidence_s = time.perf_counter() - began
            evidence_s = measure.interleaved({"evidence": partial(finder, answer, probe)}, repeats=7)["evidence"]
            size_mb = path.stat().st_size / 1e6
            removal_s = seconds_of(partial(gallery.remove, "singer 00000"))
    found = {
        "ours": answer.top[0].singer == f"singer {target:05d}",
        "usual": brute_force(probe.vectors, everything, owner) == target,
    }
    held_mb = {"ours": voices.nbytes / 1e6, "usual": everything.nbytes / 1e6}
    print(f"{singers} singers, {len(everything)} segments, {dimensions} dimensions; probe of {PROBE_SEGMENTS} segments")
    measure.table(
        ["way", "ms an answer", "usual / ours", "vectors held MB", "right"],
        [[name, 1e3 * value, value / seconds["ours"], held_mb[name], found[name]] for name, value in seconds.items()],
    )
    print(f"an answer takes {1e3 * processor_s:.0f} ms of processor time, over all threads")
    single_ms, many_ms = (1e3 * value / (TIMED_SINGERS * TRACKS) for value in (single_s, many_s))
    rest_ms = 1e3 * rest_s / max(1, (singers - TIMED_SINGERS) * TRACKS)
    print(
        f"a track is enrolled in {single_ms:.2f} ms by itself, in {many_ms:.2f} ms with {TURN * TRACKS} at once"
        f" (single / many {single_ms / many_ms:.0f}), in {rest_ms:.2f} ms with all others"
    )
    print(f"removing one singer, whose bytes are overwritten: {removal_s:.2f} s")
    print(f"file {size_mb:.0f} MB; opening and first answer {1e3 * first_s:.0f} ms")
    print(f"evidence {1e3 * evidence_s:.1f} ms, the first time {1e3 * first_evidence_s:.0f} ms")
    measure.finish(
        "gallery",
        given.quick,
        dimensions=float(dimensions),
        answer_ms=1e3 * seconds["ours"],
        open_and_first_answer_ms=1e3 * first_s,
        adds_per_s=1e3 / single_ms,
        many_adds_per_s=1e3 / rest_ms,
        adds_ratio=single_ms / many_ms,
        removal_s=removal_s,
        answer_processor_ms=1e3 * processor_s,
        evidence_ms=1e3 * evidence_s,
        ratio=seconds["usual"] / seconds["ours"],
    )


def enrol(gallery: Gallery, rows: FloatArray, singers: range) -> None:
    """One transaction a track."""
    for new in new_tracks(rows, singers):
        gallery.add(new.singer, new.track, new.sha256)


def new_tracks(rows: FloatArray, singers: range) -> Iterator[NewTrack]:
    """The tracks of some singers."""
    for number in singers:
        for track in range(TRACKS):
            name = f"{number:05d}/{track}"
            yield NewTrack(f"singer {number:05d}", as_track(name, rows[number, track]), name)


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def brute_force(probe: FloatArray, rows: FloatArray, owner: NDArray[np.int64]) -> int:
    """The usual way: each probe segment's nearest enrolled segment names a singer; the most named one is the answer."""
    return int(np.bincount(owner[(probe @ rows.T).argmax(axis=1)]).argmax())


def checkpoint(dimensions: int, rng: np.random.Generator) -> Checkpoint:
    """An encoder in name only, with a calibration fitted on generated voices."""
    base = MODELS["compact"]
    assert isinstance(base.encoder, ConvolutionalConfig)
    encoder = base.encoder.model_copy(update={"embedding": dimensions})
    voices = unit(rng.standard_normal((50, dimensions), np.float32))
    tracks = [sung(voice, (SEGMENTS,), rng) for voice in voices for _ in range(4)]
    names = [f"singer {number}" for number in range(50) for _ in range(4)]
    card = {"calibration": calibrate(tracks, names, "generated vectors").to_card()}
    config = ModelConfig(front_end=FrontEndConfig(channels=1), encoder=encoder)
    return Checkpoint(nn.Identity(), config, FINGERPRINT, card)


def sung(voice: FloatArray, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Unit embeddings around a voice."""
    noise = rng.standard_normal((*shape, voice.size), np.float32) * np.float32(NOISE / np.sqrt(voice.size))
    return unit(voice + noise)


def as_track(track_id: str, vectors: FloatArray) -> Embeddings:
    """Embeddings as an encoder would return them, every 3 seconds."""
    start_s, vocal = 3.0 * np.arange(len(vectors)), np.ones(len(vectors))
    duration_s = 3.0 * (len(vectors) + 1)
    activity = Activity(start_s, vocal, "level")
    return Embeddings(track_id, vectors, start_s, vocal, 6.0, duration_s, FINGERPRINT, False, activity)


def unit(vectors: FloatArray) -> FloatArray:
    """Rows of unit length."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    main()
