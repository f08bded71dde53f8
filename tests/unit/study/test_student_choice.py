"""The decisions for one student."""

from peerkd.study.student_choice import decision


def test_a_decision_follows_from_the_weight_of_the_divergence():
    assert [decision(weight) for weight in (None, 0.0, 0.5)] == ["leave", "fine_tune", "distil"]


def test_a_student_that_learns_from_its_old_self_has_no_teacher():
    assert [decision(0.5, target) for target in ("student", "mean", "teacher")] == ["fine_tune", "distil", "distil"]
