"""Embedding on a CPU: segments a second by preset, batch and runtime, a track's ways through an encoder, a whole MP3.

The usual way embeds overlapping segments one at a time, each for itself. What ships hears a stretch once and pools its
segments from there, in bf16 where the processor has it (``SegmentEmbedder.along``). Presets have random weights, on
which speed does not depend; the names of encoders that ship have their own, which 8-bit layers are to be judged by.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import measure
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from whosings import audio
from whosings.choir.cast import draw_singer
from whosings.choir.songs import record
from whosings.config import MODELS, ModelConfig
from whosings.embedding import TrackEmbedder
from whosings.encoder.campplus import Campplus
from whosings.encoder.checkpoint import SHIPPED, build, load_checkpoint
from whosings.segment_embedding import Encoder, SegmentEmbedder
from whosings.spectrogram import conform, open_front_end
from whosings.vocals.detector import ActivityDetector

Run = Callable[[Tensor], Tensor]


class Unsuited(Exception):
    """A runtime that a network cannot run on."""


def main() -> None:
    given = measure.arguments(
        __doc__,
        threads={"type": int, "default": 2},
        part={"choices": ["segments", "tracks", "file", "all"], "default": "all"},
        presets={"nargs": "+", "default": ["cam++", "compact", "small"]},
        encoders={"nargs": "+", "default": list(SHIPPED), "help": "checkpoints that embed a track and a file"},
        batches={"nargs": "+", "type": int, "default": [1, 16, 32]},
        runtimes={"nargs": "+", "default": list(RUNTIMES)},
    )
    torch.set_num_threads(given.threads)
    figures: dict[str, float] = {}
    if given.part in ("segments", "all"):
        batches = given.batches[:2] if given.quick else given.batches
        for preset in given.presets[:1] if given.quick else given.presets:
            figures |= segments(preset, batches, given.runtimes, given.threads, repeats=3 if given.quick else 7)
        per_s = {preset: figures.get(f"{preset}_eager_{batches[-1]}_per_s") for preset in given.presets}
        for preset, figure in per_s.items():
            if preset != "small" and figure and (small := per_s.get("small")):
                figures[f"{preset}_over_small"] = figure / small
    duration_s, repeats = (60.0, 3) if given.quick else (240.0, 7)
    for name in given.encoders:
        if given.part in ("tracks", "all"):
            figures |= ways_through(name, duration_s / 4, repeats)
        if given.part in ("file", "all"):
            figures |= whole_file(name, duration_s, repeats)
    measure.finish("embedding", given.quick, **figures)


def segments(preset: str, batches: list[int], runtimes: list[str], threads: int, repeats: int) -> dict[str, float]:
    """Segments a second of one preset, by batch and runtime."""
    torch.manual_seed(0)
    if preset in SHIPPED:
        checkpoint = load_checkpoint(preset)
        config, encoder = checkpoint.config, checkpoint.encoder
    else:
        config = MODELS[preset]
        encoder = build(config)
    encoder = encoder.eval().requires_grad_(False)
    spectrograms = _spectrograms(config, max(batches))
    with torch.inference_mode():
        exact = F.normalize(encoder(spectrograms), dim=-1)
    runs: dict[str, Run] = {}
    for name in runtimes:
        try:
            runs[name] = RUNTIMES[name](encoder, spectrograms, threads)
        except ImportError as error:
            print(f"{name}: not installed ({error.name}), left out")
        except Unsuited as error:
            print(f"{name}: {error}, left out")
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    cosines = {name: _least_cosine(run(spectrograms), exact) for name, run in runs.items()}
    for batch in batches:
        part = spectrograms[:batch].contiguous()
        ways = {name: partial(run, part) for name, run in runs.items()}
        seconds = measure.interleaved(ways, repeats, calls=-(-16 // batch) + 1, rest_s=0.1)
        for name in runs:
            per_s = batch / seconds[name]
            rows.append([preset, name, batch, 1e3 / per_s, per_s, seconds["eager"] / seconds[name], cosines[name]])
            figures[f"{preset}_{name}_{batch}_per_s"] = per_s
    measure.table(["preset", "runtime", "batch", "ms a segment", "segments/s", "x eager", "least cosine"], rows)
    last = batches[-1]
    figures[f"{preset}_batched_over_single"] = (
        figures[f"{preset}_eager_{last}_per_s"] / figures[f"{preset}_eager_{batches[0]}_per_s"]
    )
    return figures


def eager(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """What the package does."""

    @torch.inference_mode()
    def run(spectrograms: Tensor) -> Tensor:
        return encoder(spectrograms)

    return run


def compiled(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """torch.compile; needs a C++ compiler."""
    compiled_encoder = torch.compile(encoder)

    @torch.inference_mode()
    def run(spectrograms: Tensor) -> Tensor:
        return compiled_encoder(spectrograms)

    return run


def onnx(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """ONNX Runtime on an exported graph with a free batch size."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = _export(encoder, example, Path(folder))
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(spectrograms: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"spectrograms": spectrograms.numpy()})[0])

    return run


def bf16(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """What the package does with CAM++ where the processor computes in bf16."""
    if not isinstance(encoder, Campplus):
        raise Unsuited("for CAM++ only")
    return eager(encoder.in_bf16(), example, threads)


def int8(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """ONNX Runtime on a graph of 8-bit layers, whose ranges come from the example."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Example(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows = iter(example.split(4))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            rows = next(self.rows, None)
            return None if rows is None else {"spectrograms": rows.numpy()}

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        exported = _export(encoder, example, Path(folder))
        quantize_static(exported, path, Example(), per_channel=True, weight_type=QuantType.QInt8)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(spectrograms: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"spectrograms": spectrograms.numpy()})[0])

    return run


def openvino(encoder: nn.Module, example: Tensor, threads: int, precision: str = "f32") -> Run:
    """OpenVINO on the same graph."""
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    with tempfile.TemporaryDirectory() as folder:
        model = ov.Core().compile_model(_export(encoder, example, Path(folder)), "CPU", hints)

    def run(spectrograms: Tensor) -> Tensor:
        return torch.from_numpy(model(spectrograms.numpy())[0])

    return run


RUNTIMES: dict[str, Callable[[nn.Module, Tensor, int], Run]] = {
    "eager": eager,
    "compiled": compiled,
    "onnx": onnx,
    "openvino": openvino,
    "bf16": bf16,
    "openvino-bf16": partial(openvino, precision="bf16"),
    "int8": int8,
}


def ways_through(name: str, duration_s: float, repeats: int) -> dict[str, float]:
    """A track's overlapping segments, one by one, in batches, pooled from one pass; in float32 and as it ships."""
    track = audio.Segment(record(draw_singer(0, 0), 0, duration_s).mixture[None], 0.0, "made")
    exact, shipped = (SegmentEmbedder(Encoder(name, "cpu", precision)) for precision in ("float32", "auto"))
    start_s = np.arange(0.0, track.duration_s - exact.front_end.segment_s, exact.front_end.segment_s / 2)
    pieces = [track.cut(float(start), exact.front_end.segment_s).samples for start in start_s]
    ways = {
        "one by one, float32": lambda: np.concatenate([exact([piece]) for piece in pieces]),
        "in batches, float32": lambda: exact(pieces),
        "one pass, float32": lambda: exact.along(track, start_s),
        "as it ships": lambda: shipped.along(track, start_s),
    }
    seconds = measure.interleaved(ways, repeats, calls=1, rest_s=0.1)
    usual, reference = seconds["one by one, float32"], ways["one by one, float32"]()
    rows: list[list[object]] = []
    for way, run in ways.items():
        likeness = float((run() * reference).sum(axis=1).mean())
        rows.append([name, way, seconds[way] / track.duration_s, usual / seconds[way], likeness])
    measure.table(["encoder", "way", "real-time factor", "x the usual way", "cosine to it"], rows)
    return {f"{Path(name).name}_one_pass_over_one_by_one": usual / seconds["as it ships"]}


def whole_file(name: str, duration_s: float, repeats: int) -> dict[str, float]:
    """An encoder that ships on one MP3, and where the time goes."""
    with tempfile.TemporaryDirectory() as folder:
        mp3 = measure.write_song(Path(folder) / "song.mp3", duration_s)
        duration_s = audio.probe(mp3).duration_s
        embed = TrackEmbedder(name)
        found = len(embed(mp3).vectors)
        stages: list[dict[str, float]] = []
        totals: list[float] = []
        for _ in range(repeats):
            began = time.perf_counter()
            embed(mp3)
            totals.append(time.perf_counter() - began)
            stages.append(_stages(embed, mp3))
    total = median(totals)
    rows: list[list[object]] = [["whole file", total, 100.0, total / duration_s]]
    for step in stages[0]:
        seconds = median(stage[step] for stage in stages)
        rows.append([f"  {step}", seconds, 100 * seconds / total, seconds / duration_s])
    print(f"{name}: {duration_s:.0f} s of MP3, {found} segments embedded, {torch.get_num_threads()} threads")
    measure.table(["step", "seconds", "%", "real-time factor"], rows)
    key = Path(name).name
    return {f"{key}_file_real_time_factor": total / duration_s, f"{key}_file_segments": float(found)}


def _stages(embed: TrackEmbedder, path: Path) -> dict[str, float]:
    """The steps of ``TrackEmbedder``, one after another."""
    front_end, detector = embed.front_end, ActivityDetector()
    clock = [time.perf_counter()]
    whole = audio.load(path, front_end.channels)
    clock.append(time.perf_counter())
    detector(whole.samples)
    clock.append(time.perf_counter())
    embed.at(whole, np.arange(0.0, whole.duration_s - front_end.segment_s, embed.hop_s))
    clock.append(time.perf_counter())
    names = ("decode to 16 kHz", "vocal activity", "encoder")
    return dict(zip(names, np.diff(clock).tolist(), strict=True))


def _spectrograms(config: ModelConfig, count: int) -> Tensor:
    """Segments of a generated song as the front end sees them."""
    front_end = config.front_end
    song = record(draw_singer(0, 0), 0, 30.0).mixture[None]
    starts = np.linspace(0, song.shape[1] - front_end.samples, count).astype(int)
    waveforms = np.stack([conform(song[:, start : start + front_end.samples], front_end) for start in starts])
    with torch.inference_mode():
        return open_front_end(front_end)(torch.from_numpy(waveforms)).clone()


def _export(encoder: nn.Module, example: Tensor, folder: Path) -> Path:
    import onnxscript  # noqa: F401  (the exporter needs it; its absence should read as an ImportError here)

    path = folder / "encoder.onnx"
    torch.onnx.export(
        encoder,
        (example[:2].clone(),),
        path,
        dynamo=True,
        input_names=["spectrograms"],
        output_names=["embeddings"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    return path


def _least_cosine(embeddings: Tensor, exact: Tensor) -> float:
    return float((F.normalize(embeddings, dim=-1) * exact).sum(dim=-1).min())


if __name__ == "__main__":
    main()
