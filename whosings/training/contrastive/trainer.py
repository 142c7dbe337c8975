"""Contrastive training on Lightning, with the paper's schedule as defaults (paper, section 4.2).

What a run leaves in its folder:

- ``best/`` and ``last/``: encoder checkpoints, of the lowest validation loss so far and of the last epoch.
- ``state/last.ckpt``: everything needed to go on; the same command, run again, resumes from it. A run that was killed
  and resumed ends with the weights of an uninterrupted one, because pairs and steps are numbered and nothing else is
  random.
- ``history.json``, ``loss.png``, TensorBoard events.

Memory: with ``training.chunk`` the views pass through the encoder a few at a time, twice: first without gradients, to
get the gradient of the loss with respect to each embedding from the whole batch, then with gradients, chunk by chunk
(gradient caching). The result is that of the whole batch: no encoder layer couples the views of a batch.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn
from torch import Tensor

from whosings.catalogue.manifest import Manifest
from whosings.config import Settings, TrainingConfig
from whosings.devices import has_bf16
from whosings.encoder.checkpoint import build, save_checkpoint
from whosings.encoder.projector import Projector
from whosings.errors import AudioError, MissingExtraError, TrainingError
from whosings.files import atomic, write_atomic
from whosings.spectrogram import open_front_end
from whosings.training.contrastive.loading import VALIDATION_SEED, PairData
from whosings.training.contrastive.loss import nt_xent, supcon
from whosings.training.contrastive.pairs import PairSampler, tracks_by_voice
from whosings.training.contrastive.views import Sources, assemble, usual_chances

MissingExtraError.require("lightning", "training", "train")

import lightning as L  # noqa: E402
from lightning.pytorch import callbacks  # noqa: E402
from lightning.pytorch.loggers import TensorBoardLogger  # noqa: E402

_CPU_CHUNK = 16  # views; see benchmarks/training_step.py


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        best: folder of the encoder with the lowest validation loss.
        best_loss: that loss, nats.
        epochs: epochs trained in all, earlier sittings included.
        stopped: ``"patience"``, ``"max_epochs"`` or ``"max_minutes"``; after the last, another sitting goes on.
    """

    best: Path
    best_loss: float
    epochs: int
    stopped: str


class ContrastiveModule(L.LightningModule):
    """Encoder and projector under NT-Xent or the supervised contrastive loss."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.automatic_optimization = False
        self.front_end = open_front_end(settings.model.front_end)
        self.encoder = build(settings.model)
        if settings.training.compile:
            self.encoder.compile()
        self.projector = Projector(settings.model.projector, settings.model.encoder.embedding)
        self._step_ended = time.perf_counter()

    def configure_optimizers(self) -> Any:
        """Adam, halved on a plateau."""
        training = self.settings.training
        parameters = [*self.encoder.parameters(), *self.projector.parameters()]
        adam = torch.optim.Adam(parameters, lr=training.learning_rate, eps=training.adam_eps, fused=True)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            adam, factor=training.plateau_factor, patience=training.plateau_epochs
        )
        return {"optimizer": adam, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}

    def on_before_batch_transfer(self, batch: Sources | AudioError, dataloader_idx: int) -> Sources:
        """A file that a worker could not decode is raised here, in the main process, with its own message."""
        if isinstance(batch, AudioError):
            raise batch
        return batch

    def training_step(self, batch: Sources, index: int) -> None:
        """One step on the whole batch, in chunks if so set."""
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        views = assemble(batch, self.settings.model.front_end, self._draw(), usual_chances(self.settings.pairs))
        chunk = self.settings.training.chunk
        if chunk == "auto":
            chunk = _CPU_CHUNK if views.device.type == "cpu" else 0
        whole = chunk == 0 or chunk >= len(views)
        loss = self._whole(views, batch.singers) if whole else self._chunked(views, chunk, batch.singers)
        self._average_gradients()
        optimizer.step()
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True, prog_bar=True, batch_size=len(batch))
        now = time.perf_counter()  # from the end of one step to the end of the next: waiting for data counts
        rate = 2 * len(batch) * self.trainer.world_size / max(now - self._step_ended, 1e-9)
        self._step_ended = now
        self.log("segments/s", rate, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(batch))

    def validation_step(self, batch: Sources, index: int) -> None:
        """Loss of a batch of fixed pairs, never augmented."""
        embeddings = self._embed(assemble(batch, self.settings.model.front_end))
        loss = self._loss(embeddings, batch.singers, gather=False)  # every process validates on the same pairs
        self.log("val_loss", loss, sync_dist=True, prog_bar=True, batch_size=len(batch))

    def on_train_epoch_end(self) -> None:
        """Tell the plateau rule how the epoch went."""
        scheduler: Any = self.lr_schedulers()
        scheduler.step(self.trainer.callback_metrics["val_loss"])
        self.log("learning_rate", self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    def _embed(self, views: Tensor) -> Tensor:
        with torch.no_grad():
            spectrograms = self.front_end(views)
        embeddings: Tensor = self.encoder(spectrograms)
        return embeddings

    def _draw(self) -> np.random.Generator | None:
        """What this step's views are changed with: the same whenever and after whatever interruption it is made."""
        if not self.settings.pairs.augment:
            return None
        return np.random.default_rng([self.settings.training.seed, self.global_step, self.global_rank])

    def _loss(self, embeddings: Tensor, singers: Tensor | None, gather: bool = True) -> Tensor:
        left, right = self.projector(embeddings).float().chunk(2)
        temperature = self.settings.training.temperature
        if self.settings.training.loss == "nt_xent" or singers is None:
            return nt_xent(left, right, temperature, gather)
        return supcon(left, right, singers, temperature, gather)

    def _whole(self, views: Tensor, singers: Tensor | None = None) -> Tensor:
        loss = self._loss(self._embed(views), singers)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _chunked(self, views: Tensor, chunk: int, singers: Tensor | None = None) -> Tensor:
        pieces = torch.split(views, chunk)
        with torch.no_grad():
            embeddings = torch.cat([self._embed(piece) for piece in pieces])
        torch.clear_autocast_cache()  # casts made without gradients must not serve the second pass
        embeddings.requires_grad_()
        loss = self._loss(embeddings, singers)
        loss.backward()  # type: ignore[no-untyped-call]
        assert embeddings.grad is not None
        for piece, gradient in zip(pieces, torch.split(embeddings.grad, chunk), strict=True):
            self._embed(piece).backward(gradient)  # type: ignore[no-untyped-call]
        return loss.detach()

    def _average_gradients(self) -> None:
        """Over processes. By hand: chunks run backward several times a step, which the usual wrapper cannot follow."""
        if self.trainer.world_size > 1:
            for parameter in self.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.trainer.world_size


class _Keeper(callbacks.Callback):
    """Writes what people look at: checkpoints of the encoder, the history and its picture."""

    def __init__(self, out: Path, settings: Settings, facts: dict[str, Any]) -> None:
        self._out, self._settings, self._facts = out, settings, facts
        self.history: list[dict[str, float]] = []
        self.best = float("inf")
        self._since = 0.0

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history, self.best = list(state["history"]), state["best"]

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        metrics = trainer.callback_metrics
        before = self.history[-1].get("seconds", 0.0) if self.history else 0.0
        row = {
            "epoch": trainer.current_epoch,
            "train_loss": float(metrics["train_loss"]),
            "val_loss": float(metrics["val_loss"]),
            "seconds": before + time.perf_counter() - self._since,  # of training, over all sittings
        }
        self._since = time.perf_counter()
        self.history.append(row)
        if not all(math.isfinite(value) for value in row.values()):
            raise TrainingError(self._out, "the loss is no longer finite", "lower training.learning_rate")
        if not trainer.is_global_zero:
            return
        self._save(module, "last")
        if row["val_loss"] < self.best:
            self.best = row["val_loss"]
            self._save(module, "best")
        write_atomic(self._out / "history.json", json.dumps(self.history))

    def on_fit_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.is_global_zero and self.history:
            plot_history(self.history, self._out / "loss.png")

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, error: BaseException) -> None:
        self.on_fit_end(trainer, module)  # an interrupted run has its picture, too

    def _save(self, module: L.LightningModule, name: str) -> None:
        assert isinstance(module, ContrastiveModule)
        row = self.history[-1]
        card = {
            **self._facts,
            "pairs": self._settings.pairs.mode,
            "epoch": row["epoch"],
            "val_loss": row["val_loss"],
            "training": self._settings.training.model_dump(mode="json"),
        }
        save_checkpoint(self._out / name, self._settings.model, module.encoder, card)


class _Bar(callbacks.RichProgressBar):
    """One line of less than 80 letters: the epoch, its steps, the time left in it, losses and speed."""

    def __init__(self) -> None:
        theme = callbacks.progress.rich_progress.RichProgressBarTheme(metrics_format=".3g")
        super().__init__(theme=theme, console_kwargs={"stderr": True})

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        return [TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn()]

    def get_metrics(self, trainer: L.Trainer, module: L.LightningModule) -> dict[str, Any]:
        found = super().get_metrics(trainer, module)
        names = {"train_loss": "train", "val_loss": "val", "segments/s": "segments/s"}
        return {told: found[name] for name, told in names.items() if name in found}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1} of {self.trainer.max_epochs}"


class _Clock(callbacks.Callback):
    """Ends a sitting after so many minutes, with the epoch, so that nothing of it is lost."""

    def __init__(self, minutes: float | None) -> None:
        self._minutes, self._began, self.rang = minutes, time.monotonic(), False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The sitting begins when everything is loaded."""
        self._began = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the clock of the first process: by their own, some processes could stop and others wait for them."""
        if self._minutes is None or trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            return
        if trainer.strategy.broadcast(time.monotonic() - self._began >= 60 * self._minutes):
            self.rang = trainer.should_stop = True


def train(
    settings: Settings, manifest: Manifest, validation: Manifest, out: str | Path, facts: dict[str, Any] | None = None
) -> TrainingResult:
    """Train an encoder, or go on where an earlier sitting in ``out`` stopped.

    Args:
        manifest, validation: disjoint by singer.
        facts: what the checkpoints' card should say besides: name, data, licence.

    Raises:
        TrainingError: unusable data or settings, or ``out`` holds a run with other settings.
        AudioError: a file cannot be decoded; fix or drop it and run again, nothing is lost.
    """
    training, out = settings.training, Path(out)
    if training.batch_pairs % training.devices:
        raise TrainingError("training.batch_pairs", f"is not a multiple of {training.devices} devices", "change either")
    trained = manifest.by_singer.keys() | tracks_by_voice(manifest, settings.pairs.clones).keys()
    shared = trained & validation.by_singer.keys()
    if shared:
        raise TrainingError("the validation manifest", f"shares singer {min(shared)} with training", "split by singer")
    one_each = settings.pairs.model_copy(update={"clones": False, "pairs_per_singer": 1})
    data = PairData(
        settings,
        PairSampler(manifest, settings.pairs, training.seed),
        PairSampler(validation, one_each, VALIDATION_SEED),
    )
    if data.validation.singers < 2:
        raise TrainingError("the validation manifest", "has a single singer with two tracks", "add singers")
    resume = _claim(out, settings, manifest, validation)
    if resume is not None and (done := _finished(out, training)) is not None:
        return done
    L.seed_everything(training.seed, verbose=False)
    keeper = _Keeper(out, settings, facts or {})
    stopping = callbacks.EarlyStopping("val_loss", patience=training.stop_epochs, check_on_train_epoch_end=True)
    checkpoint = callbacks.ModelCheckpoint(
        out / "state", filename="epoch", save_last=True, save_top_k=0, save_on_train_epoch_end=True
    )
    clock = _Clock(training.max_minutes)
    trainer = L.Trainer(
        accelerator=training.accelerator,
        devices=training.devices,
        strategy="ddp" if training.devices > 1 else "auto",
        precision="bf16-mixed" if _use_bf16(settings) else "32-true",
        sync_batchnorm=training.devices > 1 and _on_gpu(settings),
        max_epochs=training.max_epochs,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        logger=TensorBoardLogger(out, name="", version="tensorboard"),
        callbacks=[keeper, stopping, checkpoint, clock, *([_Bar()] if sys.stderr.isatty() else [])],
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(ContrastiveModule(settings), datamodule=data, ckpt_path=resume, weights_only=True)
    stopped = "patience" if stopping.stopped_epoch else "max_minutes" if clock.rang else "max_epochs"
    return TrainingResult(out / "best", keeper.best, len(keeper.history), stopped)


def plot_history(history: Sequence[dict[str, float]], path: str | Path) -> None:
    """Training and validation loss against epochs, the best one marked, as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    axes.plot(epochs, [row["train_loss"] for row in history], label="training", color="#9aa5b1")
    axes.plot(epochs, [row["val_loss"] for row in history], label="validation", color="#c2410c")
    best = min(history, key=lambda row: row["val_loss"])
    axes.plot(best["epoch"], best["val_loss"], "o", color="#c2410c")
    axes.annotate(
        f"best {best['val_loss']:.3f}", (best["epoch"], best["val_loss"]), xytext=(6, 8), textcoords="offset points"
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="NT-Xent (nats)")
    axes.legend(loc="upper right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic(path) as beside:
        figure.savefig(beside, dpi=120)


def _claim(out: Path, settings: Settings, *manifests: Manifest) -> Path | None:
    """The state to resume from, if any; a folder belongs to one experiment on one set of tracks."""
    written, state = out / "settings.json", out / "state" / "last.ckpt"
    # How long to train, and on what, may change between sittings; what is trained may not.
    free = {"training": {"max_epochs", "max_minutes", "workers", "accelerator", "chunk"}}
    tracks = [sorted((track.track_id, track.singer_id) for track in manifest.tracks) for manifest in manifests]
    digest = hashlib.sha256(json.dumps(tracks).encode()).hexdigest()
    text = f"{settings.model_dump_json(exclude=free)}\n{digest}\n"
    if written.exists() and written.read_text() != text and state.exists():
        raise TrainingError(
            out, "holds a run with other settings or tracks", "use another folder, or what that run had"
        )
    write_atomic(written, text)
    return state if state.exists() else None


def _finished(out: Path, training: TrainingConfig) -> TrainingResult | None:
    """The result of a run that has nothing left to do."""
    losses = [row["val_loss"] for row in json.loads((out / "history.json").read_text())]
    best = min(range(len(losses)), key=losses.__getitem__)
    if len(losses) - 1 - best >= training.stop_epochs:
        return TrainingResult(out / "best", losses[best], len(losses), "patience")
    if len(losses) >= training.max_epochs:
        return TrainingResult(out / "best", losses[best], len(losses), "max_epochs")
    return None


def _on_gpu(settings: Settings) -> bool:
    return settings.training.accelerator != "cpu" and torch.cuda.is_available()


def _use_bf16(settings: Settings) -> bool:
    precision = settings.training.precision
    return precision == "bf16" or (precision == "auto" and _on_gpu(settings) and has_bf16(torch.device("cuda")))
