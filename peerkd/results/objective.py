"""What a choice is to bring, and what it must not cost: gains on the whole data set and on the student's own classes.

A mean of two gains is what distillation is chosen by; a limit says what it may cost the student at home. Both look at
validation alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import OWN_WEIGHTS
from peerkd.results.arrays import BoolArray, FloatArray

_SAME_ACCURACY: Final = 1e-9
"""As in ``peerkd.results.selection``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """``(1 - own_weight) * global gain + own_weight * own gain``, of choices that do not lose too much of the own."""

    own_weight: float = 0.0
    """From 0, global accuracy alone, to 1, own accuracy alone."""

    max_own_drop: float | None = None
    """The most that own accuracy on validation may fall by: a fraction. None: no limit."""

    def __post_init__(self) -> None:
        """Refuse what is no share.

        Raises:
            ValueError: If the weight or the limit is not from 0 to 1.
        """
        if not 0 <= self.own_weight <= 1:
            raise ValueError(f"own_weight must be from 0 to 1, got {self.own_weight}.")
        if self.max_own_drop is not None and not 0 <= self.max_own_drop <= 1:
            raise ValueError(f"max_own_drop must be from 0 to 1, got {self.max_own_drop}.")

    @property
    def scopes(self) -> tuple[str, ...]:
        """Whose accuracies it looks at: ``global``, ``own``, or both in this order."""
        needs_global, needs_own = self.own_weight < 1, self.own_weight > 0 or self.is_limited
        return ("global",) * needs_global + ("own",) * needs_own

    @property
    def is_limited(self) -> bool:
        """Whether there are settings that it does not allow."""
        return self.max_own_drop is not None

    @property
    def is_global(self) -> bool:
        """Whether it is global accuracy, whatever that costs."""
        return self.own_weight == 0 and not self.is_limited

    def gains(self, gains: Mapping[str, FloatArray]) -> FloatArray:
        """Return the mean of gains by scope: arrays of one shape, for each of ``scopes``."""
        if self.own_weight in (0, 1):
            return gains["own" if self.own_weight else "global"]
        return (1 - self.own_weight) * gains["global"] + self.own_weight * gains["own"]

    def allows(self, gains: Mapping[str, FloatArray]) -> BoolArray:
        """Return where the student keeps enough of its own accuracy, given gains on validation."""
        if self.max_own_drop is None:
            return np.ones(np.shape(self.gains(gains)), dtype=np.bool_)
        is_allowed: BoolArray = gains["own"] >= -self.max_own_drop - _SAME_ACCURACY
        return is_allowed

    def worth(self, gains: Mapping[str, FloatArray]) -> FloatArray:
        """Return what a tuner is told of gains on validation: what is not allowed is worth less than leaving.

        It counts for no more than what it costs the student at home, so that a tuner, which expects the like of
        similar settings and pairs, turns away from there.
        """
        mean = self.gains(gains)
        return np.where(self.allows(gains), mean, np.minimum(mean, gains["own"])) if self.is_limited else mean

    @property
    def accuracy_in_words(self) -> str:
        """What its gains are gains of, to follow "the student's"."""
        for metric, weight in OWN_WEIGHTS.items():
            if self.own_weight == weight:
                return metric.replace("_", " ")
        return f"accuracy ({100 - 100 * self.own_weight:g} % global, {100 * self.own_weight:g} % own)"

    @property
    def limit_in_words(self) -> str:
        """The limit as a sentence; empty where there is none."""
        if self.max_own_drop is None:
            return ""
        return (
            f"A setting is only chosen if it was seen on validation that the student loses at most "
            f"{100 * self.max_own_drop:g} points of its own accuracy."
        )


def of_study(config: ExperimentConfig) -> Objective:
    """Return the objective of a tuned study."""
    return Objective(own_weight=config.resolved_own_weight, max_own_drop=config.tune.max_own_drop)
