"""The objective of a tuned study: a mean of global and own gain, and a limit on the loss of own accuracy.

All gains and losses of accuracy in the objective are measured on validation data alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peerkd.study.splits import OWN_WEIGHTS, Metric
from peerkd.study.ties import is_at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """``(1 - own_weight) * global gain + own_weight * own gain``, under a limit on the loss of own accuracy."""

    own_weight: float = 0.0
    """The weight of own accuracy, from 0 (global accuracy alone) to 1 (own accuracy alone)."""

    max_own_drop: float | None = None
    """The largest drop of own accuracy on validation that is allowed, as a fraction. None: no limit."""

    def __post_init__(self) -> None:
        """Check the weight and the limit.

        Raises:
            ValueError: If the weight or the limit is not from 0 to 1.
        """
        if not 0 <= self.own_weight <= 1:
            raise ValueError(f"own_weight must be from 0 to 1, got {self.own_weight}.")
        if self.max_own_drop is not None and not 0 <= self.max_own_drop <= 1:
            raise ValueError(f"max_own_drop must be from 0 to 1, got {self.max_own_drop}.")

    @property
    def scopes(self) -> tuple[str, ...]:
        """The accuracies that the objective depends on: ``global``, ``own``, or both in this order."""
        needs_global, needs_own = self.own_weight < 1, self.own_weight > 0 or self.is_limited
        return ("global",) * needs_global + ("own",) * needs_own

    @property
    def is_limited(self) -> bool:
        """Whether the objective limits the loss of own accuracy."""
        return self.max_own_drop is not None

    @property
    def is_global(self) -> bool:
        """Whether the objective is global accuracy alone, without a limit."""
        return self.own_weight == 0 and not self.is_limited

    def gains(self, gains: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the weighted mean of global and own gains.

        Args:
            gains: An array of gains for each of ``scopes``, all of the same shape.
        """
        if self.own_weight in (0, 1):
            return gains["own" if self.own_weight else "global"]
        return (1 - self.own_weight) * gains["global"] + self.own_weight * gains["own"]

    def allows(self, gains: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
        """Return for each trial whether the student keeps enough of its own accuracy, given its gains on validation."""
        if self.max_own_drop is None:
            return np.ones(np.shape(self.gains(gains)), dtype=np.bool_)
        return is_at_least(gains["own"], -self.max_own_drop)

    def penalised_gains(self, gains: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the gains that a tuner observes: the weighted mean gains, lowered where a trial breaks the limit.

        If a trial breaks the limit, its value is at most its gain of own accuracy, which is negative. Leaving the
        student unchanged has the value 0 and is therefore better. A tuner expects similar values of similar settings,
        so it then also avoids settings that are similar to the setting of the trial.
        """
        mean = self.gains(gains)
        return np.where(self.allows(gains), mean, np.minimum(mean, gains["own"])) if self.is_limited else mean

    @property
    def accuracy_in_words(self) -> str:
        """The accuracy that the objective measures, in words that follow "the student's"."""
        for metric, weight in OWN_WEIGHTS.items():
            if self.own_weight == weight:
                return metric.replace("_", " ")
        return f"accuracy ({100 - 100 * self.own_weight:g} % global, {100 * self.own_weight:g} % own)"

    @property
    def limit_in_words(self) -> str:
        """The limit as a sentence; empty if the study has no limit."""
        if self.max_own_drop is None:
            return ""
        return (
            f"A setting is only chosen if it was seen on validation that the student loses at most "
            f"{100 * self.max_own_drop:g} points of its own accuracy."
        )


def objective_of(metric: Metric) -> Objective:
    """Return the objective that consists of one accuracy, without a limit."""
    return Objective(own_weight=OWN_WEIGHTS[metric])
