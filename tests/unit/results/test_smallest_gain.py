"""The smallest gain that a validation set can show, against the advice for a training with just this gain."""

import numpy as np
import pytest

from peerkd.results.advice import COLUMNS, advise
from peerkd.results.smallest_gain import smallest_gain
from peerkd.study.objective import Objective
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, record, right


@pytest.mark.parametrize("num_samples", [30, 272])
@pytest.mark.parametrize("own_weight", [0.0, 1.0])
def test_the_advice_counts_this_gain_and_none_below_it(num_samples, own_weight):
    objective, num_before = Objective(own_weight=own_weight), num_samples // 2
    validation, before = NumSamples(num_samples, num_samples), right(num_before, of=num_samples)
    accuracies = {"global": before.mean(), "own": before.mean()}
    gain = smallest_gain(objective, validation, accuracies)
    num_right = round(gain * num_samples)
    assert gain == num_right / num_samples

    def decision(num_more):
        after = right(num_before + num_more, of=num_samples)
        row = answered(record(), before, after, scope="own" if own_weight else "global")
        sets = EvaluationSets(validation=validation, test=validation)
        columns = {name: [row[name]] for name in COLUMNS}
        return advise(columns, objective, sets, ranks_N=np.zeros(1, dtype=np.int64)).decision

    # The noise is drawn, so the advice may differ close to the limit.
    near = max(1, num_right // 4)
    assert [decision(num_right + more) for more in (-near, near)] == ["leave", "distil"]


def test_a_global_gain_needs_two_samples_whatever_the_accuracy_was():
    for accuracy in (0.1, 0.9):
        gain = smallest_gain(Objective(), NumSamples(30, 5), {"global": accuracy, "own": accuracy})
        assert gain == pytest.approx(2 / 30)


def test_both_accuracies_count_where_the_objective_is_a_mean_of_them():
    accuracies = {"global": 0.5, "own": 0.5}
    alone, both = (smallest_gain(Objective(own_weight=weight), NumSamples(100, 20), accuracies) for weight in (0, 0.5))
    assert alone < both


def test_a_student_without_room_for_a_gain_has_none():
    assert smallest_gain(Objective(), NumSamples(30, 5), {"global": 29 / 30, "own": 1.0}) is None
