"""The edges of the grid that many pairs choose, and the values beyond them."""

import pytest

from peerkd.results.grid_edges import GridEdge, grid_edges, value_beyond


def test_an_edge_that_most_pairs_choose_is_named_with_the_value_to_add():
    counts = {"temperatures": {1.0: 30, 2.0: 30, 4.0: 30}, "alphas": {0.1: 69, 0.5: 15, 0.9: 6}}
    assert grid_edges(counts) == [GridEdge("alphas", 0.1, True, 69, 90, 0.05)]


def test_both_edges_of_a_dimension_may_be_chosen_often():
    assert [edge.next_value for edge in grid_edges({"temperatures": {1.0: 40, 2.0: 5, 4.0: 45}})] == [0.5, 8.0]


def test_a_dimension_that_no_pair_chose_or_nobody_tried_has_no_edge():
    assert grid_edges({"alphas": {0.1: 0, 0.9: 0}, "learning_rates": {}}) == []


@pytest.mark.parametrize(
    ("dimension", "values", "is_smallest", "beyond"),
    [
        ("alphas", [0.1, 0.9], True, 0.05),
        ("alphas", [0.1, 0.9], False, 0.95),
        ("alphas", [0.5], False, 0.75),
        ("alphas", [0.0, 1.0], True, None),
        ("alphas", [0.0, 1.0], False, None),
        ("temperatures", [1.0, 4.0, 16.0], False, 64.0),
        ("temperatures", [1.0, 4.0], True, 0.25),
        ("temperatures", [4.0], True, 2.0),
        ("learning_rates", [0.01, 0.03], True, 0.00333),
        ("learning_rates", [0.01, 0.03], False, 0.09),
    ],
)
def test_the_value_beyond_an_edge(dimension, values, is_smallest, beyond):
    assert value_beyond(dimension, values, is_smallest=is_smallest) == beyond
