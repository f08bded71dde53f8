"""The advice for pairs, and what came of it on test."""

import numpy as np
import pytest

from peerkd.results.advice import COLUMNS, advise
from peerkd.results.pair_advice import Predictions, advise_pairs, on_test
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.selection import candidates, ranks_of, rows_of_pairs
from peerkd.results.table import assemble
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, control, diverged, record, right

SETS = EvaluationSets(validation=NumSamples(400, 100), test=NumSamples(800, 100))


def trial(row, num, *, test=0.5):
    return {**answered(row, right(200, of=400), right(num, of=400)), "test_global_accuracy_after": test}


def advice_on(*rows, **options):
    table = assemble(rows)
    trials = candidates(table, metric="global_accuracy")
    advice = advise_pairs(
        table,
        rows_of_pairs(trials),
        Objective(),
        num_peers=2,
        sets_P=[SETS, SETS],
        ranks=ranks_of(trials, "student"),
        **options,
    )
    return table, advice


STUDY = (
    trial(control(), 220, test=0.55),
    trial(record(), 280, test=0.65),
    trial(control(student=1), 260, test=0.6),
    trial(record(student=1, teacher=0), 230, test=0.4),
)


def test_each_pair_competes_with_the_controls_of_its_student():
    table, advice = advice_on(*STUDY)
    assert advice.decision.tolist() == [["", "distil"], ["fine_tune", ""]]
    assert table["temperature"].take(advice.distillation[[0, 1], [1, 0]]).to_pylist() == [1.0, 1.0]
    assert table["temperature"].take(advice.control[[0, 1], [1, 0]]).to_pylist() == [None, None]
    assert advice.gain.value[0, 1] == pytest.approx(0.2, abs=0.005)
    assert advice.advantage.value[0, 1] == pytest.approx(0.15, abs=0.005)
    assert advice.advantage.low[0, 1] < 0.15 < advice.advantage.high[0, 1]
    assert [advice.count(name) for name in ("distil", "fine_tune", "leave")] == [1, 1, 0]
    assert advice.pairs_to_distil() == [(0, 1)]


def test_a_training_towards_the_old_self_is_among_the_controls_of_its_pair():
    table, advice = advice_on(*STUDY, trial(record(target="student"), 290, test=0.7))
    assert advice.decision[0, 1] == "fine_tune"
    assert table["target"].take(advice.control[[0, 1], [1, 0]]).to_pylist() == ["student", None]
    assert table["target"].take(advice.distillation[[0, 1], [1, 0]]).to_pylist() == [None, None]
    _, alone = advice_on(
        *STUDY, trial(record(target="student"), 290), distillation_PP=np.full((2, 2), NO_ROW, dtype=np.int64)
    )
    assert (alone.control[0, 1], alone.distillation[0, 1]) == (advice.control[0, 1], NO_ROW)


def test_on_test_the_advised_pairs_are_compared_with_the_better_control():
    table, advice = advice_on(*STUDY)
    came = on_test(advice, table, Objective())
    assert (came.over_best_control.value, came.over_best_control.num) == (pytest.approx(0.1), 1)
    assert came.num_worse == 0


def test_an_advised_pair_may_be_worse_on_test_than_the_unchanged_student():
    rows = trial(control(), 190, test=0.3), trial(record(), 280, test=0.45), *STUDY[2:]
    table, advice = advice_on(*rows)
    came = on_test(advice, table, Objective())
    assert (came.over_best_control.value, came.num_worse) == (pytest.approx(-0.05), 1)


def test_a_pair_without_a_measured_choice_is_judged_by_its_controls_alone():
    chosen = np.full((2, 2), NO_ROW)
    _, advice = advice_on(*STUDY, distillation_PP=chosen)
    assert advice.decision.tolist() == [["", "fine_tune"], ["fine_tune", ""]]
    assert advice.distillation.tolist() == [[NO_ROW, NO_ROW]] * 2
    assert np.isnan(advice.advantage.value).all()


def test_without_any_trial_there_is_nothing_to_learn_from():
    _, advice = advice_on()
    assert advice.pairs_to_distil() == []
    assert np.isnan(advice.gain.value).all()
    assert (advice.distillation == NO_ROW).all()


def test_a_choice_that_was_made_in_another_way_is_judged():
    rows = *STUDY, trial(record(temperature=2.0), 340)
    table, best = advice_on(*rows)
    chosen = best.distillation.copy()
    assert table["temperature"][int(chosen[0, 1])].as_py() == 2.0
    chosen[0, 1] = table["temperature"].to_pylist().index(1.0)
    _, advice = advice_on(*rows, distillation_PP=chosen)
    assert advice.distillation[0, 1] == chosen[0, 1]
    assert advice.gain.value[0, 1] < 0.21 < best.gain.value[0, 1]


def test_an_interval_covers_its_bounds_and_nothing_unknown():
    predictions = Predictions(np.zeros(4), np.full(4, -0.1), np.array([0.1, 0.1, 0.1, np.nan]))
    assert predictions.covers(np.array([0.1, -0.2, np.nan, 0.0])).tolist() == [True, False, False, False]


def of_one_pair(table, rows, ranks, *, objective, **options):
    columns = table.select(COLUMNS).take(rows).to_pydict()
    return advise(columns, objective, SETS, ranks_N=ranks[rows], **options)


def varied(row, rng):
    before = right(200, of=400)
    return {
        **answered(row, before, before ^ (rng.random(400) < rng.uniform(0.05, 0.3))),
        "validation_own_accuracy_after": rng.uniform(0.3, 0.7),
    }


@pytest.mark.parametrize("objective", [Objective(), Objective(own_weight=0.5, max_own_drop=0.1)])
def test_pairs_that_are_computed_together_have_the_advice_of_each_alone(objective):
    rng = np.random.default_rng(0)
    settings = [record(temperature=t, target=name) for t in (1.0, 2.0, 4.0) for name in (None, "student")]
    # The pairs have unequal numbers of trials, some diverged, and one trial has no bits.
    rows = [
        varied({**row, "student": student, "teacher": teacher}, rng)
        for student, teacher in np.argwhere(~np.eye(5, dtype=bool)).tolist()
        for row in settings[: 2 + (student + teacher) % 5]
    ] + [varied(control(student=student), rng) for student in range(4)]
    rows[3], rows[11] = diverged(rows[3]), diverged(rows[11])
    rows[20]["validation_correct_bits"] = None
    table = assemble(rows)
    trials = candidates(table, metric="global_accuracy")
    pairs, ranks = rows_of_pairs(trials), ranks_of(trials, "student")
    chosen_PP = np.full((5, 5), NO_ROW, dtype=np.int64)
    chosen_PP[0, 1] = np.flatnonzero((trials.student == 0) & (trials.teacher == 1) & ~trials.is_control)[-1]
    for distillation_PP in (None, chosen_PP):
        together = advise_pairs(
            table, pairs, objective, num_peers=5, sets_P=[SETS] * 5, ranks=ranks, distillation_PP=distillation_PP
        )
        for place, (student, teacher) in enumerate(zip(pairs.student, pairs.teacher, strict=True)):
            own, given = pairs.row[pairs.pair == place], None
            if distillation_PP is not None:
                row = distillation_PP[student, teacher]
                own = own if row != NO_ROW else own[trials.is_control[own]]
                given = None if row == NO_ROW else int(np.searchsorted(own, row))
            alone = of_one_pair(table, own, ranks, objective=objective, distillation=given)
            assert together.decision[student, teacher] == alone.decision
            for name in ("distillation", "control"):
                found = getattr(alone, name)
                assert getattr(together, name)[student, teacher] == (NO_ROW if found is None else own[found])
            for name in ("gain", "control_gain", "advantage"):
                one, all_PP = getattr(alone, name), getattr(together, name)
                expected = [np.nan] * 3 if one is None else [one.value, *one.interval]
                # Not one bit differs.
                np.testing.assert_array_equal(
                    [matrix_PP[student, teacher] for matrix_PP in (all_PP.value, all_PP.low, all_PP.high)], expected
                )
    assert {*together.decision.ravel()} >= {"", "leave"}


def test_few_pairs_are_computed_at_once_if_memory_is_limited(monkeypatch):
    _, whole = advice_on(*STUDY)
    monkeypatch.setattr("peerkd.results.pair_advice._GROUP_BYTES", 1)
    _, parts = advice_on(*STUDY)
    np.testing.assert_array_equal(whole.gain.low, parts.gain.low)
