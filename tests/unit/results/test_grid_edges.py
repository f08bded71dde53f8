"""The edges of the grid that many pairs choose, and the values beyond them."""

from itertools import product

import pytest

from peerkd.results.grid_edges import ChosenValues, GridEdge, edges_of_choice, grid_edges, value_beyond
from peerkd.results.selection import candidates, choose
from peerkd.results.table import assemble
from peerkd.study.defaults import UntunedDefault
from tests.tables import control, record


def chosen(dimension, counts, **names):
    """Return the choices of pairs, given how many choose each value of a dimension."""
    return [ChosenValues({dimension: value}, **names) for value, num in counts.items() for _ in range(num)]


def test_an_edge_that_most_pairs_choose_is_named_with_the_value_to_add():
    alphas, temperatures = {0.1: 69, 0.5: 15, 0.9: 6}, {1.0: 30, 2.0: 30, 4.0: 30}
    pairs = [
        ChosenValues({**one.values, **other.values})
        for one, other in zip(chosen("alphas", alphas), chosen("temperatures", temperatures), strict=True)
    ]
    tried = {"temperatures": [*temperatures], "alphas": [*alphas]}
    assert grid_edges(pairs, tried) == [GridEdge("alphas", 0.1, True, 69, 90, 0.05)]


def test_both_edges_of_a_dimension_may_be_chosen_often():
    pairs = chosen("temperatures", {1.0: 40, 2.0: 5, 4.0: 45})
    assert [edge.next_value for edge in grid_edges(pairs, {"temperatures": [1.0, 2.0, 4.0]})] == [0.5, 8.0]


@pytest.mark.parametrize(
    ("counts", "is_named"),
    [({1.0: 2, 2.0: 1, 4.0: 1, 8.0: 2}, False), ({1.0: 5, 2.0: 1, 4.0: 0, 8.0: 0}, True)],
)
def test_an_edge_that_chance_explains_is_no_edge_where_chance_is_limited(counts, is_named):
    # By chance, 2 or more of 6 pairs choose one of four temperatures in 47 % of all cases, and 5 or more in 0.5 %.
    pairs, tried = chosen("temperatures", counts), {"temperatures": [*counts]}
    assert bool(grid_edges(pairs, tried, max_chance=0.05)) == is_named
    assert grid_edges(pairs, tried)
    assert bool(grid_edges(pairs, tried, max_chance=0.0046)) is False
    assert bool(grid_edges(pairs, tried, max_chance=0.0047)) == is_named


def test_a_dimension_that_no_pair_chose_or_nobody_tried_has_no_edge():
    pairs = [ChosenValues({"alphas": None}), ChosenValues({})]
    assert grid_edges(pairs, {"alphas": [0.1, 0.9], "learning_rates": []}) == []
    assert grid_edges([], {"alphas": [0.1, 0.9]}) == []


def test_an_edge_is_judged_among_the_pairs_with_the_same_loss_and_target():
    """All pairs together choose both ends more often than the middle, yet only kl has pairs at the smallest alpha."""
    pairs = [
        *chosen("alphas", {0.1: 30, 0.5: 5}, loss="kl", target="teacher"),
        *chosen("alphas", {0.5: 5, 0.9: 30}, loss="dkd", target="teacher"),
    ]
    assert grid_edges(pairs, {"alphas": [0.1, 0.5, 0.9]}) == [
        GridEdge("alphas", 0.9, False, 30, 35, 0.95, loss="dkd", target="teacher"),
        GridEdge("alphas", 0.1, True, 30, 35, 0.05, loss="kl", target="teacher"),
    ]


def test_a_loss_that_few_pairs_choose_has_no_edge():
    pairs = [*chosen("alphas", {0.5: 40}, loss="kl"), *chosen("alphas", {0.1: 3}, loss="dkd")]
    assert grid_edges(pairs, {"alphas": [0.1, 0.5, 0.9]}) == []


def test_the_edges_of_a_sweep_are_those_of_its_best_distillations():
    def row(student, loss, temperature, alpha):
        is_best = (loss, temperature, alpha) == ("dkd", 4.0, 0.2)
        return record(
            student=student,
            teacher=1 - student,
            loss=loss,
            temperature=temperature,
            alpha=alpha,
            distillation_weight=alpha,
            validation_global_accuracy_after=0.9 if is_best else 0.5,
        )

    rows = [row(*values) for values in product((0, 1), ("kl", "dkd"), (1.0, 2.0, 4.0), (0.2, 0.5, 0.8))]
    rows += [control(student=student) for student in (0, 1)]
    default = UntunedDefault("student", loss="kl")
    trials = candidates(assemble(rows), metric="global_accuracy", default=default)
    assert edges_of_choice(trials, choose(trials, default_transfer_set="student")) == [
        GridEdge("temperatures", 4.0, False, 2, 2, 8.0, loss="dkd"),
        GridEdge("alphas", 0.2, True, 2, 2, 0.1, loss="dkd"),
    ]


def test_a_loss_that_sets_its_temperature_has_no_edge_of_temperatures():
    def row(student, loss, temperature):
        accuracy = 0.9 if loss == "dts" else 0.5
        named = {"loss": loss, "temperature": temperature, "validation_global_accuracy_after": accuracy}
        return record(student=student, teacher=1 - student, **named)

    tried = [("kl", 1.0), ("kl", 2.0), ("kl", 4.0), ("dts", 1.0)]
    rows = [row(student, *each) for student in (0, 1) for each in tried]
    trials = candidates(assemble(rows), metric="global_accuracy", default=UntunedDefault("student", loss="kl"))
    assert edges_of_choice(trials, choose(trials, default_transfer_set="student")) == []


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
