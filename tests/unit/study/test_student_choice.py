"""The decisions for one student."""

from peerkd.study.student_choice import decision


def test_a_decision_follows_from_the_weight_of_the_divergence():
    assert [decision(weight) for weight in (None, 0.0, 0.5)] == ["leave", "fine_tune", "distil"]
