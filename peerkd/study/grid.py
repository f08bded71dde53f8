"""The grid of settings that every pair tries on each transfer set, with the untuned default and fine-tuning."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.study.defaults import DEFAULT_ALPHA, DEFAULT_TEMPERATURE
from peerkd.study.transfer_sets import TRANSFER_SETS, TransferSet
from peerkd.study.trials import Setting

LossTerm = Literal["distillation", "cross_entropy"]
"""The term of the loss that alpha weighs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The values of the hyper-parameters that a sweep tries, as the config states them."""

    transfer_sets: tuple[TransferSet, ...]
    temperatures: tuple[float, ...]
    alphas: tuple[float, ...]
    alpha_weighs: LossTerm = "distillation"

    learning_rates: tuple[float, ...] = ()
    """The learning rates of the first step that are tried. Empty: only ``distill.learning_rate``."""

    default_learning_rate: float | None = None
    """The rate of the untuned default if several rates are tried, else None."""

    recipe_loss: str = "kl"
    """The name of the loss in ``distill.loss``, with which all trials are trained if ``losses`` is empty."""

    losses: tuple[str, ...] = ()
    """The names of the losses that are tried. Empty: only ``distill.loss``."""

    default_loss: str | None = None
    """The loss of the untuned default if several losses are tried, else None. Every transfer set allows it."""

    targets: tuple[str, ...] = ()
    """The labels of the targets that are tried. Empty: only ``distill.target``."""

    default_target: str | None = None
    """The target of the untuned default if several targets are tried, else None."""


def settings(grid: Grid, transfer_set: TransferSet) -> tuple[Setting, ...]:
    """Return the settings that a pair tries on one transfer set, including the untuned default but not fine-tuning.

    On a transfer set without labels, the weight of the divergence is 1, so only the temperature, the learning rate, the
    loss and the target vary. A loss that sets its temperature itself is tried only with the default temperature, which
    the loss does not use. Losses that the transfer set does not allow are omitted. If two losses are the same
    computation at T = 1, only one of the two is tried at T = 1: the loss of the untuned default, or else the first.
    Settings with the same loss and learning rate follow one another, so that students that are trained together mostly
    have the same loss and learning rate.
    """
    # The untuned default comes first, so that no setting takes its place.
    tried = [(grid.default_loss, grid.default_learning_rate, grid.default_target, DEFAULT_TEMPERATURE, DEFAULT_ALPHA)]
    for loss in _losses(grid, transfer_set):
        rates, targets = grid.learning_rates or (None,), grid.targets or (None,)
        tried += product((loss,), rates, targets, _temperatures(grid, loss), grid.alphas)
    uses_labels = TRANSFER_SETS[transfer_set].uses_labels
    weighed: dict[tuple[object, ...], Setting] = {}
    for loss, rate, target, temperature, configured in tried:
        alpha = configured if uses_labels else _alpha_or_weight(1.0, grid.alpha_weighs)
        weight = _alpha_or_weight(alpha, grid.alpha_weighs)
        computation = (computed_loss(loss, temperature), rate, target, temperature, alpha)
        # A weight of 0 is fine-tuning, which depends on no temperature and is planned once.
        if weight > 0:
            weighed.setdefault(computation, Setting(temperature, alpha, weight, rate, loss, target))
    return tuple(sorted(weighed.values(), key=_order))


def control_settings(grid: Grid) -> tuple[Setting, ...]:
    """Return the settings of fine-tuning, the control that every sweep has.

    There is one fine-tuning for each learning rate, because a better rate alone is not a gain of distillation.
    Fine-tuning has neither loss nor target, because its only term is the cross entropy.
    """
    alpha = _alpha_or_weight(0.0, grid.alpha_weighs)
    rates = {*grid.learning_rates, grid.default_learning_rate}
    return tuple(sorted((Setting(None, alpha, 0.0, rate) for rate in rates), key=_order))


def omissions(grid: Grid) -> Iterator[str]:
    """Yield a sentence for each combination of configured values that no pair tries."""
    for name in grid.losses:
        excluding = [each for each in grid.transfer_sets if not allows_loss(each, name)]
        if excluding:
            yield f"{name} needs labels, so it is not tried on {' and '.join(excluding)}."
    for name in grid.losses or (grid.recipe_loss,):
        if PAIR_LOSSES[name].sets_temperature:
            yield (
                f"{name} sets its temperature itself, so no temperature of the grid is tried with it: its trials are "
                f"listed with T = {DEFAULT_TEMPERATURE:g}."
            )
    if 1.0 in grid.temperatures:
        tried: dict[str, str] = {}
        for name in _with_default_first(grid):
            kept = tried.setdefault(computed_loss(name, 1.0) or name, name)
            if kept != name:
                yield f"{name} at T = 1 is the same computation as {kept}, so only {kept} is tried there."


def allows_loss(transfer_set: str, loss: str) -> bool:
    """Return whether a loss is defined on a kind of transfer set."""
    return not (PAIR_LOSSES[loss].excludes_unlabelled and TRANSFER_SETS[transfer_set].unlabelled_sources)


def computed_loss(loss: str | None, temperature: float) -> str | None:
    """Return the name of the loss that is computed at a temperature.

    This is the given loss unless the temperature is 1 and ``PairLoss.same_at_temperature_1`` names an equal loss. None
    stands for the only loss of the experiment, and is returned as it is.
    """
    return loss if loss is None or temperature != 1 else PAIR_LOSSES[loss].same_at_temperature_1 or loss


def _losses(grid: Grid, transfer_set: TransferSet) -> tuple[str | None, ...]:
    return (
        tuple(name for name in _with_default_first(grid) if allows_loss(transfer_set, name)) if grid.losses else (None,)
    )


def _temperatures(grid: Grid, loss: str | None) -> tuple[float, ...]:
    sets_temperature = PAIR_LOSSES[loss or grid.recipe_loss].sets_temperature
    return (DEFAULT_TEMPERATURE,) if sets_temperature else grid.temperatures


def _with_default_first(grid: Grid) -> list[str]:
    return sorted(grid.losses, key=lambda name: name != grid.default_loss)


def _alpha_or_weight(value: float, alpha_weighs: LossTerm) -> float:
    """Return the weight of the divergence for a given alpha, or alpha for a given weight of the divergence.

    The same rule converts in both directions: alpha is either the weight of the divergence or 1 minus this weight.
    """
    return value if alpha_weighs == "distillation" else 1 - value


def _order(setting: Setting) -> tuple[float | str, ...]:
    return (
        setting.loss or "",
        setting.learning_rate or 0.0,
        setting.target or "",
        setting.temperature or 0.0,
        setting.alpha,
    )
