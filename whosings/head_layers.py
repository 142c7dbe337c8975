"""The layers of classifier heads, several heads as one stack, and a step of their training.

All that a stack learns lies in one buffer, with one beside it for gradients and two for Adam's moments, so that a step
is a few large kernels and allocates next to nothing: on CPUs, fresh memory for gradients took longer than arithmetic.

Conventions
-----------
- Weights are named ``layer0.weight`` (inputs, outputs), ``.bias``, ``.scale``, ``.shift``, ``.mean``, ``.variance``
  (of batch norm), ``layer1...``, ``out.weight``, ``out.bias``. In a stack each has the runs as first dimension.
- In half precision the matrix products and what lies between layers are bfloat16; what is learned stays float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.adam import adam

from whosings.config import HeadConfig

SHARPNESS = 20.0
"""From a prototype's cosine to a logit."""

_NORM, _LINEAR = ("mean", "variance", "scale", "shift"), (".weight", ".bias")
_MOMENTUM, _EPS = 0.1, 1e-5  # of batch norm
_ALIGNED = 16  # numbers: every weight begins at a multiple of 64 bytes

Uniform = Callable[[tuple[int, ...], float], Tensor]
"""Numbers of a shape between -bound and bound."""


def forward(weights: Mapping[str, Tensor], batch: Tensor, config: HeadConfig) -> Tensor:
    """Embeddings (runs, rows, dimensions) to logits (runs, rows, classes), as heads answer."""
    if config.kind == "prototype":
        return SHARPNESS * torch.bmm(F.normalize(batch, dim=-1), weights["out.weight"])
    for name in _hidden(config):
        batch = torch.baddbmm(weights[f"{name}.bias"][:, None], batch, weights[f"{name}.weight"])
        batch = torch.stack([_at_rest(weights, name, run, rows) for run, rows in enumerate(batch)]).relu_()
    logits = torch.baddbmm(weights["out.bias"][:, None], batch, weights["out.weight"])
    return F.normalize(logits, dim=-1) if config.normalise_outputs else logits


def _at_rest(weights: Mapping[str, Tensor], name: str, run: int, rows: Tensor) -> Tensor:
    """Batch norm of one run by its moving mean and variance."""
    mean, variance, scale, shift = (weights[f"{name}.{part}"][run] for part in _NORM)
    return F.batch_norm(rows, mean, variance, scale, shift, eps=_EPS)


class HeadStack:
    """Heads in training, one for each run.

    Args:
        sizes: of embedding, hidden layers and classes.
        draws: for each run, where its first weights come from.
        like: a tensor on the device, of the products' type.
        dtype: of what is learned.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        draws: Sequence[Uniform],
        config: HeadConfig,
        like: Tensor,
        dtype: torch.dtype,
    ) -> None:
        self._config, self._half, self.dtype = config, like.dtype != dtype, dtype
        device = like.device
        self._names = [*_hidden(config), "out"]
        self._shapes = _learned(sizes, self._names)
        size = sum(_padded(shape) for shape in self._shapes.values())
        buffers = [torch.zeros(len(draws), size, dtype=dtype, device=device) for _ in range(4)]
        widths = dict(zip(self._names[:-1], sizes[1:-1], strict=True))
        self._fixed = {
            f"{name}.{part}": torch.full((len(draws), width), value, dtype=dtype, device=device)
            for name, width in widths.items()
            for part, value in (("mean", 0.0), ("variance", 1.0))
        }
        self._steps = torch.zeros((), device=device)
        self._bind(buffers)
        for run, uniform in enumerate(draws):
            for name, (wide, narrow) in zip(self._names, pairwise(sizes), strict=True):
                self._weights[f"{name}.weight"][run] = uniform((wide, narrow), wide**-0.5)
                self._weights[f"{name}.bias"][run] = uniform((narrow,), wide**-0.5)
        for name in widths:
            self._weights[f"{name}.scale"].fill_(1.0)
        if not config.last_bias:
            self._weights["out.bias"].zero_()
        self._products.copy_(self._flat)

    def _bind(self, buffers: list[Tensor]) -> None:
        self._flat, self._gradient, *self._moments = buffers
        self._products = torch.zeros_like(self._flat, dtype=torch.bfloat16) if self._half else self._flat
        self._rough = torch.zeros_like(self._products) if self._half else self._gradient
        self._weights, self._gradients = (_views(flat, self._shapes) for flat in (self._flat, self._gradient))
        self._used, self._given = (_views(flat, self._shapes) for flat in (self._products, self._rough))

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs alone, in this order."""
        places = list(runs)
        self._fixed = {name: value[places] for name, value in self._fixed.items()}
        self._bind([buffer[places] for buffer in (self._flat, self._gradient, *self._moments)])
        self._products.copy_(self._flat)

    def weights(self, run: int) -> dict[str, Tensor]:
        """A copy of one head's, by name."""
        return {name: value[run].clone() for name, value in {**self._weights, **self._fixed}.items()}

    def logits(self, batch: Tensor, run: int) -> Tensor:
        """What one head answers: (rows, dimensions) of the products' type to (rows, classes)."""
        products = {name: value for name, value in self._used.items() if name.endswith(_LINEAR)}
        own = {name: value[run : run + 1] for name, value in {**self._weights, **self._fixed, **products}.items()}
        return forward(own, batch[None], self._config)[0]

    def step(self, batch: Tensor, labels: Tensor, rates: Sequence[float]) -> None:
        """One step of Adam on the mean cross-entropy of each head.

        Args:
            batch: (runs, rows, dimensions), of the products' type.
            labels: (runs, rows).
            rates: learning rate of each run.
        """
        inputs, norms = [batch], []
        for name in self._names[:-1]:
            linear = self._linear(name, inputs[-1])
            normed = [self._norm(name, run, rows) for run, rows in enumerate(linear)]
            norms.append(normed)
            inputs.append(_stacked([one.out for one in normed]).relu_())
        gradient = self._of_loss(self._linear("out", inputs[-1]), labels)
        affine: dict[str, list[Tensor]] = {}
        for place in reversed(range(len(self._names))):
            name = self._names[place]
            torch.bmm(inputs[place].transpose(1, 2), gradient, out=self._given[f"{name}.weight"])
            torch.sum(gradient, dim=1, out=self._given[f"{name}.bias"])
            if place:
                before = self._names[place - 1]
                gradient = torch.bmm(gradient, self._used[f"{name}.weight"].transpose(1, 2))
                gradient = torch.ops.aten.threshold_backward(gradient, inputs[place], 0)
                back = [
                    self._norm_gradient(before, run, rows, norms[place - 1][run]) for run, rows in enumerate(gradient)
                ]
                gradient = _stacked([one[0] for one in back])
                affine[f"{before}.scale"], affine[f"{before}.shift"] = ([one[i] for one in back] for i in (1, 2))
        if self._half:
            self._gradient.copy_(self._rough)
        for name, values in affine.items():
            for run, value in enumerate(values):
                self._gradients[name][run] = value
        if not self._config.last_bias:
            self._gradients["out.bias"].zero_()
        self._adam(rates)
        if self._half:
            self._products.copy_(self._flat)

    def _linear(self, name: str, batch: Tensor) -> Tensor:
        return torch.baddbmm(self._used[f"{name}.bias"][:, None], batch, self._used[f"{name}.weight"])

    def _norm(self, name: str, run: int, rows: Tensor) -> _Normed:
        """Run by run: over all at once, the order of its sums, and so a run's result, would depend on their number."""
        scale, shift = (self._weights[f"{name}.{part}"][run] for part in ("scale", "shift"))
        moving = [self._fixed[f"{name}.{part}"][run] for part in ("mean", "variance")]
        return _Normed(rows, *torch.ops.aten.native_batch_norm(rows, scale, shift, *moving, True, _MOMENTUM, _EPS))

    def _norm_gradient(self, name: str, run: int, rows: Tensor, normed: _Normed) -> tuple[Tensor, Tensor, Tensor]:
        """Of what went in, of the scale and of the shift."""
        moving = [self._fixed[f"{name}.{part}"][run] for part in ("mean", "variance")]
        back: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
            rows,
            normed.rows,
            self._weights[f"{name}.scale"][run],
            *moving,
            normed.mean,
            normed.spread,
            True,
            _EPS,
            [True, True, True],
        )
        return back

    def _of_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Gradient of the mean cross-entropy at what the last layer gives."""
        wide = logits.to(self._flat.dtype)
        length = wide.norm(dim=-1, keepdim=True).clamp_min(1e-12) if self._config.normalise_outputs else None
        seen = wide if length is None else wide / length
        gradient = seen.softmax(dim=-1)
        gradient.scatter_add_(-1, labels[..., None], gradient.new_full((*labels.shape, 1), -1.0))
        if length is not None:
            gradient = (gradient - seen * (seen * gradient).sum(dim=-1, keepdim=True)) / length
        return (gradient / labels.shape[1]).to(self._products.dtype)

    def _adam(self, rates: Sequence[float]) -> None:
        first, second = self._moments
        for run, rate in enumerate(rates):
            adam(
                [self._flat[run]],
                [self._gradient[run]],
                [first[run]],
                [second[run]],
                [],
                [self._steps.clone()],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        self._steps += 1


@dataclass(frozen=True)
class _Normed:
    """Batch norm of one run's rows, and what its gradient needs."""

    rows: Tensor
    out: Tensor
    mean: Tensor
    spread: Tensor


def _hidden(config: HeadConfig) -> tuple[str, ...]:
    return ("layer0", "layer1") if config.kind == "projector" else ()


def _learned(sizes: Sequence[int], names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of what one head learns."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (wide, narrow) in zip(names, pairwise(sizes), strict=True):
        shapes |= {f"{name}.weight": (wide, narrow), f"{name}.bias": (narrow,)}
        if name != "out":
            shapes |= {f"{name}.scale": (narrow,), f"{name}.shift": (narrow,)}
    return shapes


def _padded(shape: tuple[int, ...]) -> int:
    return -(-prod(shape) // _ALIGNED) * _ALIGNED


def _views(flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Parts of a buffer (runs, numbers), by name."""
    parts = torch.split(flat, [_padded(shape) for shape in shapes.values()], dim=1)
    return {
        name: part[:, : prod(shape)].view(len(flat), *shape)
        for part, (name, shape) in zip(parts, shapes.items(), strict=True)
    }


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)) if len(parts) > 1 else parts[0][None]
