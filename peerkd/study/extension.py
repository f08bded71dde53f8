"""Longer grids: the values that are added to a grid because many pairs choose a value at its edge.

After such an extension, only the settings that the grid did not have before are trained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from peerkd.study.grid import Grid

MAX_EXTENSIONS: Final = 4
"""The maximum number of extensions of a grid. For example, if each extension halves the smallest alpha, four extensions
lower it from 0.1 to 0.00625."""

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "temperatures": (0.1, 100.0),
    "alphas": (0.005, 0.995),
    "learning_rates": (1e-6, 1.0),
}
"""The smallest and the largest value of each dimension of a grid that an extension may add."""


class Addition(NamedTuple):
    """The values that are added to a grid, ascending."""

    temperatures: tuple[float, ...] = ()
    alphas: tuple[float, ...] = ()
    learning_rates: tuple[float, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is added."""
        return not any(self)

    def joined(self, other: "Addition") -> "Addition":
        """Return an addition with the values of both additions."""
        return Addition(*(tuple(sorted({*one, *more})) for one, more in zip(self, other, strict=True)))


def may_be_added(dimension: str, value: float) -> bool:
    """Return whether a value of a dimension is within ``BOUNDS``."""
    smallest, largest = BOUNDS[dimension]
    return smallest <= value <= largest


def addition(values: Iterable[tuple[str, float]]) -> Addition:
    """Return what is added to a grid, given values with their dimensions. Values beyond ``BOUNDS`` are left out."""
    added: dict[str, set[float]] = {name: set() for name in Addition._fields}
    for dimension, value in values:
        if may_be_added(dimension, value):
            added[dimension].add(value)
    return Addition(**{name: tuple(sorted(values)) for name, values in added.items()})


def extended(grid: Grid, added: Addition) -> Grid:
    """Return a grid with added values."""
    longer = Addition(grid.temperatures, grid.alphas, grid.learning_rates).joined(added)
    return replace(grid, **longer._asdict())
