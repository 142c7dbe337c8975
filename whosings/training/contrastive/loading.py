"""Pairs on their way to the trainer: numbered, divided among processes, decoded by workers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Sampler

from whosings import audio
from whosings.catalogue.manifest import Manifest
from whosings.config import Settings
from whosings.errors import AudioError, MissingExtraError
from whosings.training.contrastive.pairs import PairDataset, PairSampler
from whosings.training.contrastive.views import Sources, stacked

MissingExtraError.require("lightning", "training", "train")

import lightning as L  # noqa: E402

VALIDATION_SEED = 0
"""Seed of the validation pairs: the same for every run, so that losses compare."""


class NumberSampler(Sampler[int]):
    """Pair numbers of one epoch for one of several processes; the union over processes does not depend on how many."""

    def __init__(self, batch: int, batches: int, process: int, processes: int) -> None:
        self._batch, self._batches = batch, batches
        self._process, self._processes = process, processes
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch, also after resuming."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        share = self._batch // self._processes
        for step in range(self._epoch * self._batches, (self._epoch + 1) * self._batches):
            first = step * self._batch + self._process * share
            yield from range(first, first + share)

    def __len__(self) -> int:
        return self._batches * self._batch // self._processes


class PairData(L.LightningDataModule):
    """Training pairs without end, and fixed validation pairs."""

    def __init__(self, settings: Settings, train: PairSampler, validation: PairSampler) -> None:
        super().__init__()
        self._settings = settings
        self._train, self.validation = train, validation

    def train_dataloader(self) -> DataLoader[Sources | AudioError]:
        """One epoch's pairs."""
        training = self._settings.training
        assert self.trainer is not None
        processes = self.trainer.world_size
        sampler = NumberSampler(
            training.batch_pairs, training.iterations_per_epoch, self.trainer.global_rank, processes
        )
        # Workers fetch ahead as soon as they start, before the trainer tells the sampler which epoch it resumes.
        sampler.set_epoch(self.trainer.current_epoch)
        return self._loader(self._train, sampler, training.batch_pairs // processes)

    def val_dataloader(self) -> DataLoader[Sources | AudioError]:
        """One pair a singer; the paper's validation singers have exactly two tracks, one fixed segment of each."""
        count = self.validation.singers
        batch = min(self._settings.training.batch_pairs, count)
        return self._loader(self.validation, range(count // batch * batch), batch)

    def _loader(self, pairs: PairSampler, numbers: Any, batch: int) -> DataLoader[Sources | AudioError]:
        workers = self._settings.training.workers
        return DataLoader(
            PairDataset(pairs, self._settings.model.front_end),
            batch_size=batch,
            sampler=numbers,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_stack,
        )


def check_files(manifest: Manifest, stem: str) -> list[AudioError]:
    """Open every file that training would read; cheap, since only headers are read.

    Args:
        stem: ``pairs.mode``: which of a track's files matter.
    """
    errors: list[AudioError] = []
    for track in manifest.tracks:
        for path, modes in (
            (track.path, ("mixture", "hybrid", "track")),
            (track.vocals_path, ("vocal", "hybrid", "mashup")),
            (track.instrumental_path, ("mashup",)),
        ):
            if path is not None and stem in modes:
                try:
                    audio.probe(path)
                except AudioError as error:
                    errors.append(error)
    return errors


def _stack(items: list[Sources | AudioError]) -> Sources | AudioError:
    pairs: list[Sources] = []
    for item in items:
        if isinstance(item, AudioError):
            return item
        pairs.append(item)
    return stacked(pairs)
