"""The sets on which accuracies are measured."""

from peerkd.study.splits import have_equal_proportions


def test_two_sets_have_equal_proportions_if_they_differ_by_rounding_alone() -> None:
    assert have_equal_proportions([27, 27, 26], [44, 45, 44])
    assert have_equal_proportions([1, 0], [3, 0])
    assert not have_equal_proportions([27, 27, 26], [30, 59, 44])
    assert not have_equal_proportions([10, 0], [5, 5])
