"""The edges of the grid: values that many pairs choose although nothing beyond them was tried.

The best temperature, alpha and learning rate depend on the loss and on the target. Edges are therefore judged among the
pairs that have chosen the same loss and target.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import scipy

from peerkd.arrays import FloatArray
from peerkd.losses.pairs import sets_temperature
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.selection import Candidates, ChosenRows
from peerkd.study.transfer_sets import TRANSFER_SETS

Dimension = Literal["temperatures", "alphas", "learning_rates"]
"""A dimension of the grid, by the name of its field in ``SweepConfig``."""

_STEP: Final = 2.0
"""The factor between the only tried value of a dimension and the value to add beyond it."""

MAX_CHANCE: Final = 0.05
"""A report names an edge only if the probability that as many pairs choose it by chance is at most this number."""

_NUM_DIGITS: Final = 3
"""The number of significant digits to which a value to add is rounded."""


class ChosenValues(NamedTuple):
    """The values that one pair has chosen."""

    values: Mapping[Dimension, float | None]
    """The chosen value of each dimension. A dimension that has no effect is missing or None. For example, alpha has no
    effect on a transfer set without labels, and the temperature has no effect if the loss sets it itself."""

    loss: str | None = None
    target: str | None = None
    """The target of the chosen setting. None if the experiment tries only one target. The same rule holds for
    ``loss``."""


class GridEdge(NamedTuple):
    """The smallest or the largest tried value of a dimension, if many pairs choose it."""

    dimension: Dimension
    value: float
    is_smallest: bool
    num_pairs: int
    """The number of pairs that choose this value, the loss in ``loss`` and the target in ``target``."""

    num_all: int
    """The number of pairs that choose any value of the dimension, the loss in ``loss`` and the target in ``target``."""

    next_value: float
    """The value beyond the edge that is worth trying."""

    loss: str | None = None
    target: str | None = None
    """The target that the counted pairs choose. None if the experiment tries only one target. The same rule holds for
    ``loss``."""


def grid_edges(
    chosen: Iterable[ChosenValues], tried: Mapping[Dimension, Sequence[float]], *, max_chance: float = 1.0
) -> list[GridEdge]:
    """Return the edges of the grid that many pairs choose, dimension by dimension.

    Pairs that choose the same loss and target form a group. An edge is returned for a group if its share of the group's
    choices is above 1 / n, where n is the number of tried values. A group that is smaller than the average group has no
    edges, because its pairs are too few to ask for a longer grid.

    Args:
        chosen: The choice of each pair.
        tried: The values of each dimension that were tried, ascending.
        max_chance: The highest probability with which at least as many pairs may choose an edge by chance. By chance,
            each pair chooses any of the n values with the probability 1 / n, independently of the other pairs.
    """
    groups: dict[tuple[str | None, str | None], list[ChosenValues]] = {}
    for choice in chosen:
        groups.setdefault((choice.loss, choice.target), []).append(choice)
    num_choices = sum(map(len, groups.values()))
    common = {names: group for names, group in groups.items() if len(group) * len(groups) >= num_choices}
    edges = []
    for dimension, values in tried.items():
        for (loss, target), group in sorted(common.items(), key=lambda item: (item[0][0] or "", item[0][1] or "")):
            of_group = [each for choice in group if (each := choice.values.get(dimension)) is not None]
            for value in {values[0]: None, values[-1]: None} if values else ():
                is_smallest, num_pairs = value == values[0], of_group.count(value)
                beyond = value_beyond(dimension, values, is_smallest=is_smallest)
                is_often = num_pairs * len(values) > len(of_group)
                if beyond is not None and is_often and _chance(num_pairs, len(of_group), len(values)) <= max_chance:
                    edge = GridEdge(dimension, value, is_smallest, num_pairs, len(of_group), beyond, loss, target)
                    edges.append(edge)
    return edges


def _chance(num_pairs: int, num_all: int, num_values: int) -> float:
    """Return the probability that at least ``num_pairs`` of ``num_all`` pairs choose one of the values by chance."""
    return float(scipy.stats.binom.sf(num_pairs - 1, num_all, 1 / num_values))


def edges_of_choice(trials: Candidates, choice: ChosenRows, *, max_chance: float = 1.0) -> list[GridEdge]:
    """Return the edges of the grid that many pairs of a sweep choose. Each pair chooses its best distillation.

    ``max_chance`` has the same meaning as in ``grid_edges``.
    """
    has_alpha = np.array([TRANSFER_SETS[name].uses_labels for name in trials.transfer_set.tolist()], dtype=np.bool_)
    sets_own = np.array([sets_temperature(name) for name in trials.loss], dtype=np.bool_)
    columns: Mapping[Dimension, FloatArray] = {
        "temperatures": np.where(sets_own, np.nan, trials.temperature),
        "alphas": np.where(has_alpha, trials.alpha, np.nan),
        "learning_rates": trials.learning_rate,
    }
    is_distillation = ~trials.is_control
    tried = {name: np.unique(column[is_distillation & ~np.isnan(column)]) for name, column in columns.items()}
    chosen = [
        ChosenValues(
            {name: None if np.isnan(column[row]) else float(column[row]) for name, column in columns.items()},
            loss=trials.loss[row],
            target=trials.target[row],
        )
        for row in choice.chosen[choice.chosen != NO_ROW]
    ]
    return grid_edges(chosen, {name: values.tolist() for name, values in tried.items()}, max_chance=max_chance)


def value_beyond(dimension: Dimension, values: Sequence[float], *, is_smallest: bool) -> float | None:
    """Return the value to add below the smallest or above the largest value, or None if no value is possible there.

    A new temperature or learning rate continues the grid with the ratio between the two values nearest to the edge. A
    new alpha lies halfway between the edge and 0 or 1, where one of the two terms of the loss would vanish.

    Args:
        dimension: The dimension.
        values: The values that are tried, ascending.
        is_smallest: Whether the value is added below the smallest one.
    """
    edge = values[0] if is_smallest else values[-1]
    if dimension == "alphas":
        beyond = edge / 2 if is_smallest else (1 + edge) / 2
        return None if beyond == edge else _rounded(beyond)
    neighbours = values[:2] if is_smallest else values[-2:]
    ratio = neighbours[-1] / neighbours[0] if len(neighbours) > 1 else _STEP
    return _rounded(edge / ratio if is_smallest else edge * ratio)


def _rounded(value: float) -> float:
    return float(f"{value:.{_NUM_DIGITS}g}")
