"""The advice for pairs, and what came of it on test."""

import numpy as np
import pytest

from peerkd.results.pair_advice import Predictions, advise_pairs, on_test
from peerkd.results.selection import NO_ROW, candidates, ranks_of, rows_of_pairs
from peerkd.results.table import assemble
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, control, record, right

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
