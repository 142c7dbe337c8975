"""Embedding on a CPU: segments a second by preset, batch and runtime, and a whole MP3 as a real-time factor.

The usual way embeds one segment at a time. Weights are random: speed does not depend on them.
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
from whosings.encoder.checkpoint import build, load_checkpoint
from whosings.spectrogram import LogMel, conform
from whosings.vocals.detector import ActivityDetector

Run = Callable[[Tensor], Tensor]


def main() -> None:
    given = measure.arguments(
        __doc__,
        threads={"type": int, "default": 2},
        part={"choices": ["segments", "file", "both"], "default": "both"},
        presets={"nargs": "+", "default": ["default", "compact", "small"], "help": "or default, what ships"},
        batches={"nargs": "+", "type": int, "default": [1, 16, 32]},
        runtimes={"nargs": "+", "default": list(RUNTIMES)},
    )
    torch.set_num_threads(given.threads)
    figures: dict[str, float] = {}
    if given.part != "file":
        batches = given.batches[:2] if given.quick else given.batches
        for preset in given.presets[:1] if given.quick else given.presets:
            figures |= segments(preset, batches, given.runtimes, given.threads, repeats=3 if given.quick else 7)
        per_s = {preset: figures.get(f"{preset}_eager_{batches[-1]}_per_s") for preset in given.presets}
        for preset, figure in per_s.items():
            if preset != "small" and figure and (small := per_s.get("small")):
                figures[f"{preset}_over_small"] = figure / small
    if given.part != "segments":
        figures |= whole_file(duration_s=60.0 if given.quick else 240.0, repeats=3 if given.quick else 7)
    measure.finish("embedding", given.quick, **figures)


def segments(preset: str, batches: list[int], runtimes: list[str], threads: int, repeats: int) -> dict[str, float]:
    """Segments a second of one preset, by batch and runtime."""
    torch.manual_seed(0)
    config = load_checkpoint().config if preset == "default" else MODELS[preset]
    encoder = build(config).eval().requires_grad_(False)
    spectrograms = _spectrograms(config, max(batches))
    with torch.inference_mode():
        exact = F.normalize(encoder(spectrograms), dim=-1)
    runs: dict[str, Run] = {}
    for name in runtimes:
        try:
            runs[name] = RUNTIMES[name](encoder, spectrograms, threads)
        except ImportError as error:
            print(f"{name}: not installed ({error.name}), left out")
    rows: list[list[object]] = []
    figures: dict[str, float] = {}
    differences = {name: _largest_difference(run(spectrograms), exact) for name, run in runs.items()}
    for batch in batches:
        part = spectrograms[:batch].contiguous()
        ways = {name: partial(run, part) for name, run in runs.items()}
        seconds = measure.interleaved(ways, repeats, calls=-(-16 // batch) + 1, rest_s=0.1)
        for name in runs:
            per_s = batch / seconds[name]
            rows.append([preset, name, batch, 1e3 / per_s, per_s, seconds["eager"] / seconds[name], differences[name]])
            figures[f"{preset}_{name}_{batch}_per_s"] = per_s
    measure.table(["preset", "runtime", "batch", "ms a segment", "segments/s", "x eager", "max abs diff"], rows)
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


def openvino(encoder: nn.Module, example: Tensor, threads: int) -> Run:
    """OpenVINO on the same graph, held to float32."""
    import openvino as ov

    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
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
}


def whole_file(duration_s: float, repeats: int) -> dict[str, float]:
    """The encoder that ships on one MP3, and where the time goes."""
    with tempfile.TemporaryDirectory() as folder:
        mp3 = measure.write_song(Path(folder) / "song.mp3", duration_s)
        duration_s = audio.probe(mp3).duration_s
        embed = TrackEmbedder()
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
    for name in stages[0]:
        seconds = median(stage[name] for stage in stages)
        rows.append([f"  {name}", seconds, 100 * seconds / total, seconds / duration_s])
    print(f"{duration_s:.0f} s of MP3, {found} segments embedded, {torch.get_num_threads()} threads")
    measure.table(["step", "seconds", "%", "real-time factor"], rows)
    return {"file_real_time_factor": total / duration_s, "file_segments": float(found)}


def _stages(embed: TrackEmbedder, path: Path) -> dict[str, float]:
    """The steps of ``TrackEmbedder``, one after another."""
    front_end, log_mel, batch = embed.front_end, LogMel(embed.front_end), 16
    detector = ActivityDetector()
    clock = [time.perf_counter()]
    whole = audio.load(path, front_end.channels)
    clock.append(time.perf_counter())
    detector(whole.samples)
    clock.append(time.perf_counter())
    starts = np.arange(0.0, whole.duration_s - front_end.segment_s, embed.hop_s)
    waveforms = [conform(whole.cut(float(start), front_end.segment_s).samples, front_end) for start in starts]
    clock.append(time.perf_counter())
    with torch.inference_mode():
        blocks = [torch.from_numpy(np.stack(waveforms[n : n + batch])) for n in range(0, len(waveforms), batch)]
        spectrograms = [log_mel(block) for block in blocks]
        clock.append(time.perf_counter())
        for block in spectrograms:
            embed.segments.encoder(block)
    clock.append(time.perf_counter())
    names = ("decode to 16 kHz", "vocal activity", "cut and normalise", "log-mel", "encoder")
    return dict(zip(names, np.diff(clock).tolist(), strict=True))


def _spectrograms(config: ModelConfig, count: int) -> Tensor:
    """Log-mel segments of a generated song."""
    front_end = config.front_end
    song = record(draw_singer(0, 0), 0, 30.0).mixture[None]
    starts = np.linspace(0, song.shape[1] - front_end.samples, count).astype(int)
    waveforms = np.stack([conform(song[:, start : start + front_end.samples], front_end) for start in starts])
    with torch.inference_mode():
        return LogMel(front_end)(torch.from_numpy(waveforms)).clone()


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


def _largest_difference(embeddings: Tensor, exact: Tensor) -> float:
    difference: NDArray[np.float32] = (F.normalize(embeddings, dim=-1) - exact).abs().numpy()
    return float(difference.max())


if __name__ == "__main__":
    main()
