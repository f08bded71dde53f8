"""Fronts computed by hand: one pair trades one accuracy for the other, and one pair has nothing to gain."""

import pyarrow as pa
import pytest

from peerkd.results.front import WEIGHTS, FrontPoint, front
from peerkd.results.table import assemble
from peerkd.study.objective import Objective
from tests.tables import Study, record


def trial(
    *, temperature: float, gains: tuple[float, float], test: tuple[float, float] = (0, 0), **more: object
) -> dict:
    """Return a trial with global and own gain on validation and on test."""
    names = [f"{split}_{scope}_accuracy_after" for split in ("validation", "test") for scope in ("global", "own")]
    after = {name: 0.5 + gain for name, gain in zip(names, (*gains, *test), strict=True)}
    return record(temperature=temperature, **after, **more)


TRIALS = assemble(
    [
        trial(temperature=1.0, gains=(0.10, -0.30), test=(0.06, -0.20)),
        trial(temperature=2.0, gains=(0.04, 0.04), test=(-0.02, 0.03)),
        trial(temperature=4.0, gains=(-0.10, 0.08), test=(0.50, 0.50)),
        trial(temperature=8.0, gains=(0.03, 0.03)),
        trial(temperature=1.0, gains=(-0.01, -0.01), student=1, teacher=0),
    ]
)


def gains(point: FrontPoint) -> tuple[float, ...]:
    return (
        point.validation_global_gain,
        point.validation_own_gain,
        point.test_global_gain,
        point.test_own_gain,
    )


def test_each_weight_has_its_choice_and_the_mean_is_over_all_pairs() -> None:
    points = {point.own_weight: point for point in front(TRIALS, objective=Objective(), num_pairs=2)}
    assert list(points) == list(WEIGHTS)
    assert gains(points[0.0]) == pytest.approx((0.05, -0.15, 0.03, -0.10))
    assert gains(points[0.5]) == pytest.approx((0.02, 0.02, -0.01, 0.015))
    assert gains(points[1.0]) == pytest.approx((-0.05, 0.04, 0.25, 0.25))
    assert [point.num_distilled for point in points.values()] == [1] * 11
    assert [point.own_weight for point in points.values() if point.is_of_study] == [0.0]


def test_the_limit_of_the_study_holds_for_every_weight() -> None:
    points = front(TRIALS, objective=Objective(own_weight=0.35, max_own_drop=0.1), num_pairs=2)
    assert [point.own_weight for point in points if point.is_of_study] == [0.35]
    assert len(points) == 12
    assert gains(points[0]) == pytest.approx((0.02, 0.02, -0.01, 0.015))


def test_of_equal_choices_the_one_with_the_higher_other_accuracy_wins() -> None:
    rows = [trial(temperature=t, gains=(0.0, own)) for t, own in ((1.0, -0.1), (2.0, 0.1), (4.0, 0.0))]
    first, *_, last = front(assemble(rows), objective=Objective(), num_pairs=1)
    assert gains(first)[:2] == gains(last)[:2] == pytest.approx((0.0, 0.1))
    (left, *_) = front(assemble(rows[:1]), objective=Objective(), num_pairs=1)
    assert (left.num_distilled, gains(left)) == (0, (0, 0, 0, 0))


def test_more_of_one_accuracy_costs_some_of_the_other_on_validation() -> None:
    table = Study(num_peers=5).table
    points = front(
        table.filter(pa.compute.greater(table["distillation_weight"], 0)), objective=Objective(), num_pairs=20
    )
    of_global, of_own = ([gains(point)[place] for point in points] for place in (0, 1))
    assert of_global == sorted(of_global, reverse=True)
    assert of_own == sorted(of_own)
    assert of_own[-1] > of_own[0]


def test_any_epoch_can_be_chosen_if_epochs_are_chosen() -> None:
    courses = {
        "validation_global": [0.6, 0.52, 0.55],
        "validation_own": [0.4, 0.7, 0.65],
        "test_global": [0.58, 0.9, 0.9],
        "test_own": [0.1, 0.6, 0.1],
    }
    by_epoch = {f"{name}_accuracy_by_epoch": values for name, values in courses.items()}
    rows = [
        record(epochs=3, **by_epoch),
        record(epochs=1, temperature=2.0, **{name: values[:1] for name, values in by_epoch.items()}),
    ]
    points = front(assemble(rows), objective=Objective(), num_pairs=2, chooses_epochs=True)
    assert gains(points[0]) == pytest.approx((0.05, -0.05, 0.04, -0.2))
    assert gains(points[-1]) == pytest.approx((0.01, 0.1, 0.2, 0.05))


def test_test_gains_choose_nothing() -> None:
    turned = TRIALS
    for name in ("test_global_gain", "test_own_gain"):
        values = pa.array([-value for value in TRIALS[name].to_pylist()])
        turned = turned.set_column(turned.column_names.index(name), turned.schema.field(name), values)
    for before, after in zip(
        front(TRIALS, objective=Objective(), num_pairs=2),
        front(turned, objective=Objective(), num_pairs=2),
        strict=True,
    ):
        assert gains(after) == pytest.approx((*gains(before)[:2], *(-gain for gain in gains(before)[2:])))
