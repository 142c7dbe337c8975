"""Who teaches and who learns: a teacher hears voices alone, a student hears records."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whosings.config import AnyFrontEnd
from whosings.encoder.campplus import Campplus
from whosings.encoder.checkpoint import Checkpoint, build, load_checkpoint
from whosings.encoder.convolutional import ConvolutionalEncoder
from whosings.encoder.masking import Listened
from whosings.errors import CheckpointError, TrainingError
from whosings.spectrogram import open_front_end
from whosings.training.distillation.config import BeginConfig, DistillationConfig
from whosings.training.distillation.terms import Outputs, compute
from whosings.training.distillation.views import Views

_SILENT = 11.5  # nepers of power (50 dB) under the loudest frame: the teacher does not listen there
_FRAME_FLOOR = 1e-3  # weight of such a frame, so that no sum of weights is zero
_MASK, _HEAD = "mask.", "head."  # beginnings of names of weights


class Teacher(nn.Module):
    """A checkpoint that hears voices alone: waves (views, samples) -> embeddings (views, dimensions), of unit length.

    An encoder without a mask pools all frames alike; there frames of silence are given next to no weight, because
    what a voice is does not depend on its pauses.

    Raises:
        TrainingError: there is no such checkpoint.
    """

    def __init__(self, name: str, bf16: bool) -> None:
        super().__init__()
        try:
            self._checkpoint = load_checkpoint(name)
        except CheckpointError as error:
            remedy = "name a checkpoint in the setting teacher (recipes/convert_campplus.py makes that of default)"
            raise TrainingError(f"the teacher {name}", error.problem, remedy) from error
        self.front_end = open_front_end(self._checkpoint.config.front_end)
        self.encoder = self._checkpoint.encoder
        self._bf16 = bf16

    @property
    def checkpoint(self) -> Checkpoint:
        """What it says is that of."""
        return self._checkpoint

    @torch.no_grad()
    def forward(self, waves: Tensor) -> Tensor:
        """See the class."""
        spectrograms = self.front_end(in_channels(waves, self._checkpoint.config.front_end))
        with torch.autocast(waves.device.type, torch.bfloat16, enabled=self._bf16):
            if isinstance(self.encoder, Campplus) and self.encoder.mask is None:
                found = self.encoder.pooled(self.encoder.heard(spectrograms, frame_weights(spectrograms)))
            else:
                found = self.encoder(spectrograms)
        return F.normalize(found.float(), dim=1)


class Student(nn.Module):
    """An encoder that learns; a batch of views in, the terms of the loss out.

    Attributes:
        encoder: what is trained and kept.
        projector: to the length of the teacher's embeddings where the encoder's differ; thrown away in the end.

    Raises:
        TrainingError: the encoder is of a kind that cannot learn in this way, or what it begins with does not fit.
        CheckpointError: what it begins with is not there.
    """

    def __init__(self, config: DistillationConfig, dimensions: int, bf16: bool) -> None:
        super().__init__()
        encoder = build(config.model)
        if not isinstance(encoder, Campplus | ConvolutionalEncoder):
            problem = "cannot be a student, because it hears segments of one length only"
            raise TrainingError(f"a {config.model.encoder.kind} encoder", problem, "set model.encoder.kind")
        _begin(encoder, config.begin_with)
        if isinstance(encoder, Campplus):
            encoder.balance()
        self.encoder: Campplus | ConvolutionalEncoder = encoder
        width = config.model.encoder.embedding
        self.projector = nn.Identity() if width == dimensions else nn.Linear(width, dimensions)
        self.front_end = open_front_end(config.model.front_end)
        self._config, self._bf16 = config.model.front_end, bf16
        self._listen = torch.compile(encoder.listen) if config.compile else encoder.listen

    def forward(
        self,
        views: Views,
        teacher: Tensor,
        teacher_of_others: Tensor | None,
        active: dict[str, float],
        temperature: float,
    ) -> dict[str, Tensor]:
        """The terms by name.

        Args:
            teacher, teacher_of_others: embeddings of ``views.voices_alone`` and ``views.others_alone``.
            active, temperature: as ``terms.compute``.
        """
        with torch.no_grad():
            record, voice, band = (
                self.front_end(in_channels(waves, self._config)) for waves in (views.records, views.voices, views.bands)
            )
        with torch.autocast(record.device.type, torch.bfloat16, enabled=self._bf16):
            listened: Listened = self._listen(record)
        embeddings = F.normalize(self.projector(listened.embeddings.float()), dim=1)
        log_odds = None if listened.heard is None else listened.heard.bins
        outputs = Outputs(embeddings, teacher, teacher_of_others, log_odds, record, voice, band, views.alike)
        return compute(outputs, active, temperature)

    def parts(self, trains: str) -> list[nn.Parameter]:
        """Weights by what a stage trains: ``"mask"``, ``"encoder"`` (what comes behind the mask) or ``"all"``.

        Raises:
            TrainingError: there is no mask to train.
        """
        if trains == "mask" and self.encoder.mask is None:
            raise TrainingError("a stage that trains the mask", "needs a student with one", "set model.encoder.mask")
        named = list(self.encoder.named_parameters())
        behind = [weight for name, weight in named if not name.startswith(_MASK)]
        before = [weight for name, weight in named if name.startswith(_MASK)]
        chosen = {"mask": before, "encoder": behind, "all": before + behind}[trains]
        return chosen + list(self.projector.parameters())


def frame_weights(spectrograms: Tensor) -> Tensor:
    """1 for frames at most 50 dB under the loudest, next to 0 for others, (views, frames).

    Args:
        spectrograms: log energies, (views, channels, bins, frames).
    """
    levels = spectrograms.logsumexp(dim=(1, 2))
    return (levels > levels.amax(dim=1, keepdim=True) - _SILENT).float() + _FRAME_FLOOR


def in_channels(waves: Tensor, front_end: AnyFrontEnd) -> Tensor:
    """(views, samples) -> (views, channels, samples), as the front end wants them."""
    return waves[:, None].expand(-1, front_end.channels, -1)


def _begin(encoder: nn.Module, begin: BeginConfig) -> None:
    """Take weights over from checkpoints."""
    weights = encoder.state_dict()
    for source, of_mask in ((begin.mask, True), (begin.encoder, False)):
        if source is None:
            continue
        before = load_checkpoint(source).encoder.state_dict()
        wanted = [name for name in weights if name.startswith(_MASK) == of_mask]
        fits = [name for name in wanted if name in before and before[name].shape == weights[name].shape]
        lacking = [name for name in wanted if name not in fits and (of_mask or not name.startswith(_HEAD))]
        if lacking or not fits:
            part = "mask" if of_mask else "encoder"
            problem = f"cannot be where the student's {part} begins, because it is of another shape"
            raise TrainingError(source, problem, f"name another checkpoint in begin_with.{part}, or change the model")
        weights |= {name: before[name] for name in fits}
    encoder.load_state_dict(weights)
