"""The grid of trials whose gains an experience contains, and the interpolation of gains to the settings of a study.

A combination consists of a transfer set, a loss and a target. The grid has a point for each combination, alpha,
temperature and epoch. Gains are interpolated linearly between alphas, temperatures and epochs, but never between
combinations.

Some combinations lack some of the alphas or temperatures. For example, a transfer set without labels has only alpha =
1.

Shape suffixes: S = settings, R = rungs, C = targets: rungs x settings, K = trials of the grid: combinations x weights x
temperatures, E = epochs of the grid, G = grid: K x E, N = combinations, W = weights, T = temperatures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.term import HINTON
from peerkd.losses.targets import teacher
from peerkd.tuning.space import SettingOnSet, Space

_BEYOND_OCTAVES: Final = 1.0
"""The maximum distance, in octaves, by which a temperature may lie beyond the grid. It then counts as the nearest
temperature of the grid."""
_BEYOND_WEIGHT: Final = 0.1
"""The maximum distance by which a weight may lie beyond the grid. It then counts as the nearest weight of the grid."""


class Combination(NamedTuple):
    """The categorical part of a setting: a transfer set, a loss and a target."""

    transfer_set: str
    loss: str = HINTON.loss.name
    target: str = teacher.TARGET.name


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExperienceGrid:
    """The points of the grid, as the values of each axis.

    At some points, the combination does not have the weight or the temperature. The values at such a point have no
    meaning.
    """

    combinations: tuple[Combination, ...]
    weights: FloatArray
    """Distillation weights, ascending."""

    temperatures: FloatArray
    """Temperatures, ascending."""

    epoch_shares: FloatArray
    """Epochs as fractions of a whole trial, ascending. The last is 1."""

    has_weight_NW: BoolArray
    """Whether each combination has each weight."""
    has_temperature_NT: BoolArray
    """Whether each combination has each temperature.

    If a combination has a weight and a temperature, it has the point with both of them.
    """

    @classmethod
    def full(
        cls,
        combinations: Sequence[Combination],
        *,
        weights: FloatArray,
        temperatures: FloatArray,
        epoch_shares: FloatArray,
    ) -> Self:
        """Return the grid on which every combination has all weights and temperatures."""
        return cls(
            combinations=tuple(combinations),
            weights=weights,
            temperatures=temperatures,
            epoch_shares=epoch_shares,
            has_weight_NW=np.ones((len(combinations), len(weights)), dtype=np.bool_),
            has_temperature_NT=np.ones((len(combinations), len(temperatures)), dtype=np.bool_),
        )

    @property
    def transfer_sets(self) -> tuple[str, ...]:
        """The transfer sets, each once."""
        return tuple(dict.fromkeys(each.transfer_set for each in self.combinations))

    def differences(self, space: Space) -> Iterator[str]:
        """Yield the reasons why the grid does not cover a space's settings, as clauses that may follow "because"."""
        wanted = {combination_of(setting, space): None for setting in space.settings}
        place_of = {combination: place for place, combination in enumerate(self.combinations)}
        unknown = list(self._unknown_categories(list(wanted)))
        yield from unknown
        if not unknown and (lacking := [each for each in wanted if each not in place_of]):
            name, loss, target = lacking[0]
            yield f"the loss {loss} with the target {target} on the transfer set {name} is unknown to it"
        clauses: dict[str, None] = {}
        for setting in sorted(space.settings, key=lambda each: (each.temperature, each.distillation_weight)):
            place = place_of.get(combination_of(setting, space))
            temperatures, weights = self.temperatures, self.weights
            if place is not None:
                temperatures = temperatures[self.has_temperature_NT[place]]
                weights = weights[self.has_weight_NW[place]]
            if abs(_beyond(np.log2(temperatures), np.log2(setting.temperature))) > _BEYOND_OCTAVES:
                clauses[f"the temperature {setting.temperature:g} is too far from {_ends(temperatures)}"] = None
            if abs(_beyond(weights, setting.distillation_weight)) > _BEYOND_WEIGHT + 1e-9:
                clauses[f"the distillation weight {setting.distillation_weight:g} is too far from {_ends(weights)}"] = (
                    None
                )
        # The clauses about temperatures come first.
        yield from sorted(clauses, key=lambda clause: not clause.startswith("the temperature"))

    def interpolation(self, space: Space, rungs: IntArray) -> FloatArray:
        """Return the weights, of shape (C, G), that interpolate values on the grid to the targets of a space.

        Args:
            space: A space for which ``differences`` yields nothing.
            rungs: The rungs. The targets are ordered by rung and then by setting.
        """
        # Before the first epoch every gain is 0. That is a point of the grid for which no values are stored.
        shares_RE = interpolation(np.concatenate([[0.0], self.epoch_shares]), rungs / space.num_epochs)[:, 1:]
        grid_RSKE: FloatArray = np.einsum("sk,re->rske", self.interpolation_of_trials(space), shares_RE)
        return grid_RSKE.reshape(len(rungs) * len(space.settings), -1)

    def interpolation_of_trials(self, space: Space) -> FloatArray:
        """Return the weights, of shape (S, K), that interpolate values of whole trials to the settings of a space."""
        place_of = {combination: place for place, combination in enumerate(self.combinations)}
        grid_SNWT = np.zeros((len(space.settings), *self.shape[:-1]))
        for number, setting in enumerate(space.settings):
            place = place_of[combination_of(setting, space)]
            weight_W = _between(self.weights, self.has_weight_NW[place], setting.distillation_weight)
            temperature_T = _between(
                np.log2(self.temperatures), self.has_temperature_NT[place], float(np.log2(setting.temperature))
            )
            grid_SNWT[number, place] = np.multiply.outer(weight_W, temperature_T)
        return grid_SNWT.reshape(len(space.settings), -1)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The lengths of the axes: combinations, weights, temperatures and epochs."""
        return len(self.combinations), len(self.weights), len(self.temperatures), len(self.epoch_shares)

    def _unknown_categories(self, wanted: Sequence[Combination]) -> Iterator[str]:
        for name in dict.fromkeys(each.transfer_set for each in wanted):
            if name not in self.transfer_sets:
                yield f"the transfer set {name} is unknown to it"
        losses = dict.fromkeys(each.loss for each in self.combinations)
        for name in dict.fromkeys(each.loss for each in wanted):
            if name not in losses:
                yield f"the loss is the {PAIR_LOSSES[name].title}, which is unknown to it"
        targets = dict.fromkeys(each.target for each in self.combinations)
        for name in dict.fromkeys(each.target for each in wanted):
            if name not in targets:
                yield f"the target {name} is unknown to it"


def combination_of(setting: SettingOnSet, space: Space) -> Combination:
    """Return the transfer set, the loss and the target of a setting.

    If a study has only one loss or only one target, its settings do not name it, and it is taken from the space.
    """
    return Combination(setting.transfer_set, setting.loss or space.term.loss.name, setting.target or space.target)


def interpolation(grid: FloatArray, wanted: FloatArray) -> FloatArray:
    """Return the weights of linear interpolation between the points of a grid, of shape (wanted, grid).

    A wanted point beyond the grid is treated as the nearest point of the grid.
    """
    return np.stack([np.interp(wanted, grid, unit) for unit in np.eye(len(grid))], axis=1)


def _between(grid: FloatArray, is_there: BoolArray, wanted: float) -> FloatArray:
    """Return the weights of linear interpolation between some points of a grid; 0 for all other points.

    Args:
        grid: All points of the grid, ascending.
        is_there: Whether to use each point.
        wanted: The point to which to interpolate.
    """
    weights = np.zeros(len(grid))
    weights[is_there] = interpolation(grid[is_there], np.array([wanted]))[0]
    return weights


def _ends(grid: FloatArray) -> str:
    return f"its range, {grid[0]:g} to {grid[-1]:g}"


def _beyond(grid: FloatArray, value: float) -> float:
    return float(value - np.clip(value, grid[0], grid[-1]))
