"""The choice for one student, candidate by candidate."""

import numpy as np
import pytest

from peerkd.study.student_choice import choose_for_student, decision


def choose(worths, controls, changes=None):
    return choose_for_student(
        np.array(worths, dtype=np.float64),
        is_control_N=np.array(controls, dtype=np.bool_),
        num_changes_N=np.array(changes or [0] * len(worths)),
    )


@pytest.mark.parametrize(
    ("worths", "controls", "chosen"),
    [
        ([0.02, 0.05], [True, False], 1),
        ([0.05, 0.02], [True, False], 0),
        ([-0.02, -0.05], [True, False], None),
        ([], [], None),
        ([0.03, 0.03], [True, False], 0),
        ([0.0, 0.0], [True, False], None),
        ([-0.01, 0.02], [True, False], 1),
        ([0.02, 0.04, 0.04], [False, False, False], 1),
    ],
    ids=[
        "a teacher that brings more",
        "a control that brings more",
        "training that only harms",
        "nothing to choose from",
        "a tie with the control",
        "a tie with the unchanged student",
        "a control that harms",
        "a tie of two teachers",
    ],
)
def test_a_choice_must_be_better_than_every_simpler_one(worths, controls, chosen):
    assert choose(worths, controls) == chosen


def test_a_training_that_diverged_is_never_chosen():
    assert choose([np.nan, 0.01], [False, False]) == 1
    assert choose([np.nan], [True]) is None


def test_a_tie_goes_to_the_candidate_with_the_fewest_changes():
    assert choose([0.04, 0.04], [False, False], [2, 1]) == 1


def test_a_decision_follows_from_the_weight_of_the_divergence():
    assert [decision(weight) for weight in (None, 0.0, 0.5)] == ["leave", "fine_tune", "distil"]
