"""The grid of settings that every pair tries on each transfer set, with the untuned default and the controls."""

from dataclasses import dataclass
from typing import Literal

from peerkd.study.defaults import DEFAULT_ALPHA, DEFAULT_TEMPERATURE
from peerkd.study.transfer_sets import TRANSFER_SETS, TransferSet
from peerkd.study.trials import Setting

LossTerm = Literal["distillation", "cross_entropy"]
"""The term of the loss that alpha weighs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The values that are tried, as configured."""

    transfer_sets: tuple[TransferSet, ...]
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    alpha_weighs: LossTerm = "distillation"

    learning_rates: tuple[float, ...] = ()
    """The learning rates that are tried for the first step. Empty: only that of the recipe."""

    default_learning_rate: float | None = None
    """The rate of the untuned default if several rates are tried, else None."""


def settings(grid: Grid, transfer_set: TransferSet) -> tuple[Setting, ...]:
    """Return the settings that a pair tries on one transfer set: the untuned default is one of them, controls are not.

    Without labels the weight of the divergence is 1, so only the temperature and the learning rate vary. Settings of
    one learning rate are neighbours, so that most students that are trained side by side have the same rate.
    """
    tried = [
        (rate, temperature, alpha)
        for rate in grid.learning_rates or (None,)
        for temperature in grid.temperatures
        for alpha in grid.alphas
    ]
    tried.append((grid.default_learning_rate, DEFAULT_TEMPERATURE, DEFAULT_ALPHA))
    if not TRANSFER_SETS[transfer_set].uses_labels:
        alpha_without_labels = _alpha_or_weight(1.0, grid.alpha_weighs)
        tried = [(rate, temperature, alpha_without_labels) for rate, temperature, _ in tried]
    weighed = [
        Setting(temperature, alpha, _alpha_or_weight(alpha, grid.alpha_weighs), rate)
        for rate, temperature, alpha in dict.fromkeys(tried)
    ]
    # A weight of 0 is the control, which depends on no temperature and is planned once.
    return tuple(sorted((each for each in weighed if each.distillation_weight > 0), key=_by_rate))


def control_settings(grid: Grid) -> tuple[Setting, ...]:
    """Return the settings of the controls.

    Each learning rate has one, because a tuned rate is no gain of distillation.
    """
    alpha = _alpha_or_weight(0.0, grid.alpha_weighs)
    rates = {*grid.learning_rates, grid.default_learning_rate}
    return tuple(sorted((Setting(None, alpha, 0.0, rate) for rate in rates), key=_by_rate))


def _alpha_or_weight(value: float, alpha_weighs: LossTerm) -> float:
    """Return the weight of the divergence for an alpha, or the alpha for a weight: the rule is its own inverse."""
    return value if alpha_weighs == "distillation" else 1 - value


def _by_rate(setting: Setting) -> tuple[float, ...]:
    return (setting.learning_rate or 0.0, setting.temperature or 0.0, setting.alpha)
