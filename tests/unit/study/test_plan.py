from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.study.extension import Addition, extended
from peerkd.study.grid import Grid, control_settings, settings
from peerkd.study.pairs import Pairs, pairs_of_peers
from peerkd.study.plan import plan
from peerkd.study.transfer_sets import TRANSFER_SETS, grouped_by_samples, set_owners, unlabelled_owners
from peerkd.study.trials import Trial, Unit
from tests.unit.study.grids import grid

GRIDS = st.builds(
    grid,
    transfer_sets=st.lists(st.sampled_from([*TRANSFER_SETS]), min_size=1, unique=True).map(tuple),
    alphas=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, unique=True).map(tuple),
    alpha_weighs=st.sampled_from(["distillation", "cross_entropy"]),
    learning_rates=st.lists(st.sampled_from([0.01, 0.02, 0.1]), unique=True).map(tuple),
).map(lambda each: each if not each.learning_rates else grid(**_values(each), default_learning_rate=0.02))


def _values(each: Grid) -> dict[str, Any]:
    names = ("transfer_sets", "alphas", "alpha_weighs", "learning_rates")
    return {name: getattr(each, name) for name in names}


def enumerated(tried: Grid, num_peers: int, taken: Pairs | None = None) -> list[Unit]:
    """Return all units, built by a loop over all pairs. The plan builds them when it is indexed."""
    peers = range(num_peers)
    pairs = [(student, teacher) for student in peers for teacher in peers if student != teacher]
    if taken is not None:
        pairs = [pair for pair in pairs if pair in {taken.pair(number) for number in range(taken.num_pairs)}]
    units = []
    for alike in grouped_by_samples(tried.transfer_sets):
        groups: dict[tuple[tuple[int, ...], tuple[int, ...], int | None], list[Trial]] = {}
        for student, teacher in pairs:
            key = (*samples_of(alike[0], student, teacher), teacher)
            of_pair = [Trial(student, teacher, name, setting) for name in alike for setting in settings(tried, name)]
            groups.setdefault(key, []).extend(of_pair)
        alone: list[tuple[int, int | None]] = [(student, None) for student in peers]
        for name in alike:
            facts = TRANSFER_SETS[name]
            controlled = [*pairs] if facts.depends_on_teacher else alone
            for student, teacher in controlled if facts.uses_labels else ():
                key = (*samples_of(name, student, student if teacher is None else teacher), None)
                groups.setdefault(key, []).extend(
                    Trial(student, teacher, name, control) for control in control_settings(tried)
                )
        units += [
            Unit(owners=owners, unlabelled_owners=unlabelled, teacher=teacher, trials=tuple(trials))
            for (owners, unlabelled, teacher), trials in groups.items()
        ]
    return sorted(units, key=lambda unit: -len(unit.trials) * max(len(unit.owners + unit.unlabelled_owners), 1))


def samples_of(transfer_set: str, student: int, teacher: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pair = {"student": student, "teacher": teacher}
    return set_owners(transfer_set, **pair), unlabelled_owners(transfer_set, **pair)


def trials(tried: Grid, num_peers: int) -> list[Trial]:
    return [trial for unit in plan(tried, range(num_peers)) for trial in unit.trials]


def test_the_digits_sweep_has_every_setting_of_every_ordered_pair_and_190_controls() -> None:
    sweep = trials(grid(), 10)
    controls = [trial for trial in sweep if trial.setting.distillation_weight == 0]
    assert len(sweep) - len(controls) == 90 * 3 * 4 * 5
    # Ten students on their own data, ninety pairs on the teacher's data, and ninety pairs on both.
    assert len(controls) == 10 + 90 + 90


@given(tried=GRIDS, num_peers=st.integers(2, 5))
def test_no_trial_is_planned_twice_and_each_pair_has_each_setting(tried: Grid, num_peers: int) -> None:
    sweep = trials(tried, num_peers)
    assert len({trial.identity for trial in sweep}) == len(sweep)
    for transfer_set in tried.transfer_sets:
        for student in range(num_peers):
            for teacher in set(range(num_peers)) - {student}:
                planned = {
                    trial.setting
                    for trial in sweep
                    if (trial.student, trial.teacher, trial.transfer_set) == (student, teacher, transfer_set)
                    and trial.setting.distillation_weight > 0
                }
                assert planned == set(settings(tried, transfer_set))


@given(
    tried=GRIDS,
    num_peers=st.integers(2, 7),
    part=st.tuples(st.integers(-40, 40), st.integers(-40, 40), st.sampled_from([1, 1, 2, -1])),
)
def test_units_that_are_built_on_demand_equal_those_of_a_loop_over_all_pairs(
    tried: Grid, num_peers: int, part: tuple[int, int, int]
) -> None:
    planned, units = plan(tried, range(num_peers)), enumerated(tried, num_peers)
    assert list(planned) == units
    assert len(planned) == len(units)
    assert planned.num_trials == sum(len(unit.trials) for unit in units)
    some = slice(*part)
    assert list(planned[some]) == units[some]
    assert planned[some].num_trials == sum(len(unit.trials) for unit in units[some])
    assert planned[-1] == units[-1]
    with pytest.raises(IndexError):
        planned[len(units)]


@given(tried=GRIDS, num_peers=st.integers(3, 7), seed=st.integers(0, 9), cut=st.integers(-20, 20))
def test_only_pairs_of_partners_are_planned(tried: Grid, num_peers: int, seed: int, cut: int) -> None:
    pairs = pairs_of_peers(num_peers, num_partners=2, seed=seed)
    planned = plan(tried, pairs)
    assert sorted(planned, key=str) == sorted(enumerated(tried, num_peers, pairs), key=str)
    assert planned.num_trials == sum(len(unit.trials) for unit in planned)
    assert planned[cut:].num_trials == sum(len(unit.trials) for unit in planned[cut:])


def test_partners_that_diverged_leave_units_of_unequal_sizes() -> None:
    pairs = pairs_of_peers(7, num_partners=4, seed=0, peers=range(1, 7))
    planned = plan(grid(), pairs)
    assert sorted(planned, key=str) == sorted(
        (unit for unit in enumerated(grid(), 7, pairs) if 0 not in unit.owners), key=str
    )
    assert planned[2:9].num_trials == sum(len(unit.trials) for unit in planned[2:9])


def test_the_plan_of_a_thousand_peers_is_built_immediately() -> None:
    planned = plan(grid(), range(1_000))
    num_pairs = 1_000 * 999
    assert planned.num_trials == num_pairs * 20 * 3 + 1_000 + num_pairs * 2
    assert planned[2_000_000:][0].trials[0] == planned[2_000_000].trials[0]


def test_a_control_represents_every_temperature_and_an_alpha_of_zero() -> None:
    sweep = trials(grid(transfer_sets=("student",), alphas=(0.0, 0.5)), 2)
    controls = [trial for trial in sweep if trial.setting.distillation_weight == 0]
    assert [(trial.student, trial.teacher, trial.setting.temperature) for trial in controls] == [
        (0, None, None),
        (1, None, None),
    ]


def test_without_labels_there_is_no_control() -> None:
    assert all(
        trial.setting.distillation_weight == 1 for trial in trials(grid(transfer_sets=("public_unlabelled",)), 3)
    )


def test_kinds_with_the_same_samples_share_the_logits_of_a_teacher() -> None:
    both_kinds = ("public", "public_unlabelled")
    units = [unit for unit in plan(grid(transfer_sets=both_kinds), range(3)) if unit.teacher is not None]
    assert sorted(unit.teacher for unit in units if unit.teacher is not None) == [0, 1, 2]
    assert all({trial.transfer_set for trial in unit.trials} == set(both_kinds) for unit in units)


def test_a_unit_has_one_teacher_and_one_transfer_set() -> None:
    for unit in plan(grid(), range(4)):
        for trial in unit.trials:
            assert trial.setting.distillation_weight == 0 or trial.teacher == unit.teacher
            owners = {"student": {trial.student}, "teacher": {trial.teacher}, "both": {trial.student, trial.teacher}}
            assert set(unit.owners) == owners[trial.transfer_set]


def test_diverged_peers_are_in_no_trial_and_the_others_in_all() -> None:
    peers = (0, 2, 5)
    kept = list(plan(grid(), peers))
    left_out = {1, 3, 4}
    for unit in kept:
        assert not left_out & {*unit.owners, unit.teacher, *(trial.student for trial in unit.trials)}
    wanted = {
        trial
        for unit in plan(grid(), range(6))
        for trial in unit.trials
        if not left_out & {trial.student, trial.teacher, *unit.owners}
    }
    found = [trial for unit in kept for trial in unit.trials]
    assert set(found) == wanted
    assert len(found) == len(wanted) == plan(grid(), peers).num_trials


@given(tried=GRIDS, num_peers=st.integers(2, 4))
def test_a_plan_without_those_of_a_shorter_grid_has_the_new_trials_alone(tried: Grid, num_peers: int) -> None:
    more = Addition(temperatures=(3.0,), alphas=(0.125,), learning_rates=(0.2,) if tried.learning_rates else ())
    longer = extended(tried, more)
    units = [*plan(longer, range(num_peers), without=tried)]
    new = [trial for unit in units for trial in unit.trials]
    assert len(new) == len({*new}) == plan(longer, range(num_peers), without=tried).num_trials
    assert {*new} == {*trials(longer, num_peers)} - {*trials(tried, num_peers)}
    assert len(plan(tried, range(num_peers), without=tried)) == 0
