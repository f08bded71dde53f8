"""Longer grids: which values are added, and which trials are new."""

from peerkd.study.extension import Addition, addition, extended
from tests.unit.study.grids import grid


def test_the_values_beyond_the_edges_are_added_once_and_in_order() -> None:
    edges = [("alphas", 0.95), ("temperatures", 16.0), ("alphas", 0.05), ("alphas", 0.95)]
    added = addition(edges)
    assert added == Addition(temperatures=(16.0,), alphas=(0.05, 0.95))
    longer = extended(grid(temperatures=(4.0, 1.0), alphas=(0.5,)), added)
    assert (longer.temperatures, longer.alphas, longer.learning_rates) == ((1.0, 4.0, 16.0), (0.05, 0.5, 0.95), ())


def test_values_beyond_the_bounds_are_not_added() -> None:
    edges = [("alphas", 0.004), ("alphas", 0.996), ("temperatures", 128.0), ("learning_rates", 2.0)]
    assert addition(edges).is_empty


def test_several_additions_are_joined() -> None:
    first, second = Addition(alphas=(0.05,)), Addition(temperatures=(16.0,), alphas=(0.025,))
    assert first.joined(second) == Addition(temperatures=(16.0,), alphas=(0.025, 0.05))
