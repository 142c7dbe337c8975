"""Thresholds for stated false-accept rates: which log-likelihood ratio (nats) so many trials of strangers reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whosings.errors import ConfigError

FALSE_ACCEPT_RATE = 0.01
"""Rate at which a singer is named, and two recordings are called one singer's, unless another one is asked for."""

LOOK_RATE = 0.1
"""Share of strangers who may be worth a look; twice the rate of names if that is more, up to the last of ``RATES``."""

RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Rates whose thresholds are kept, where there are trials enough."""

TRIALS_A_RATE = 3
"""None of 3 / rate trials passing shows that rate with 95 % confidence: fewer trials show no such rate."""


@dataclass(frozen=True)
class FalseAccepts:
    """Thresholds of a decision by the rate at which strangers pass.

    Attributes:
        rates: ascending, between 0 and 1.
        nats: for each rate the least log-likelihood ratio that passes; descending.
        trials: of strangers, on which they were measured.
        singers: enrolled in the galleries in which they were measured; 0 where that was not kept.
    """

    rates: tuple[float, ...]
    nats: tuple[float, ...]
    trials: int
    singers: int = 0

    @classmethod
    def measured(cls, strangers: NDArray[Any], singers: int = 0) -> FalseAccepts:
        """Thresholds for those of ``RATES`` that so many trials can show.

        Args:
            strangers: (trials,) log-likelihood ratios of strangers.
        """
        ordered = np.sort(np.asarray(strangers, np.float64))
        rates = tuple(rate for rate in RATES if ordered.size >= TRIALS_A_RATE / rate)
        # Just above the first trial that must not pass.
        nats = [float(np.nextafter(ordered[-1 - int(rate * ordered.size)], np.inf)) for rate in rates]
        return cls(rates, tuple(nats), int(ordered.size), singers)

    @classmethod
    def of(cls, values: dict[str, Any]) -> FalseAccepts:
        """From plain values, as ``dataclasses.asdict`` and JSON give them; ``faults`` says whether they are any good.

        Raises:
            KeyError, TypeError: values are missing or of another type.
        """
        return cls(tuple(values["rates"]), tuple(values["nats"]), values["trials"], values.get("singers", 0))

    def states(self, rate: float) -> bool:
        """Whether it knows the threshold of a rate."""
        return bool(self.rates) and self.rates[0] <= rate <= self.rates[-1]

    def threshold(self, rate: float) -> float:
        """The least log-likelihood ratio (nats) that passes; between two rates that were measured, on a line.

        Raises:
            ConfigError: the rate is not between the least and the greatest that were measured.
        """
        if not self.states(rate):
            what = f"of {100 * rate:g}% cannot be stated from {self.trials} trials of strangers"
            remedy = "measure on more recordings"
            if self.rates:
                remedy = f"choose between {100 * self.rates[0]:g}% and {100 * self.rates[-1]:g}%"
            raise ConfigError("a false-accept rate", what, remedy)
        return float(np.interp(math.log(rate), np.log(self.rates), self.nats))

    def faults(self) -> list[str]:
        """What cannot be in such a table, as clauses; empty where all is well."""
        numbers = (*self.rates, *self.nats)
        counts = (self.trials, self.singers)
        plain = all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
        if not plain or not all(isinstance(n, int) and n >= 0 for n in counts):
            return ["false-accept rates that are no numbers"]
        rising = all(low < high for low, high in zip(self.rates, self.rates[1:], strict=False))
        falling = all(low >= high for low, high in zip(self.nats, self.nats[1:], strict=False))
        between = all(0 < rate < 1 for rate in self.rates)
        whole = len(self.rates) == len(self.nats)
        return [] if rising and falling and between and whole else ["false-accept rates that are none"]


def look_rate(rate: float) -> float:
    """The rate at which strangers may be worth a look, given the rate at which they may be named."""
    return min(RATES[-1], max(LOOK_RATE, 2 * rate))
