"""The edges of the grid: values that many pairs choose although nothing beyond them was tried."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

Dimension = Literal["temperatures", "alphas", "learning_rates"]
"""A dimension of the grid, by the name of its field in ``SweepConfig``."""

_STEP: Final = 2.0
"""The ratio of the value to add to the tried one, if only one value of a dimension was tried."""

_NUM_DIGITS: Final = 3
"""The number of significant digits of the value to add."""


class GridEdge(NamedTuple):
    """The smallest or the largest tried value of a dimension, if many pairs choose it."""

    dimension: Dimension
    value: float
    is_smallest: bool
    num_pairs: int
    """The number of pairs that choose the value."""

    num_all: int
    """The number of pairs that choose any value of the dimension."""

    next_value: float
    """The value beyond the edge that is worth trying."""


def grid_edges(counts: Mapping[Dimension, Mapping[float, int]]) -> list[GridEdge]:
    """Return the edges that more pairs choose than if all values were chosen equally often, by dimension.

    Args:
        counts: The number of pairs that choose each value that was tried, including values that no pair chose.
    """
    edges = []
    for dimension, of_values in counts.items():
        values, num_all = sorted(of_values), sum(of_values.values())
        for value in {values[0]: None, values[-1]: None} if values else ():
            is_smallest = value == values[0]
            beyond = value_beyond(dimension, values, is_smallest=is_smallest)
            if beyond is not None and of_values[value] * len(values) > num_all:
                edges.append(GridEdge(dimension, value, is_smallest, of_values[value], num_all, beyond))
    return edges


def value_beyond(dimension: Dimension, values: Sequence[float], *, is_smallest: bool) -> float | None:
    """Return the value to add below the smallest or above the largest value. None if none is possible.

    A temperature or a learning rate continues the steps of the grid: the ratio of the two values at the edge. An alpha
    goes half of the way to 0 or 1, where one of the two terms of the loss would vanish.

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
