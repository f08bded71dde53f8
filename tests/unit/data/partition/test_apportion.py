import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.apportion import largest_remainder, lift_to_one


def test_the_largest_remainders_are_rounded_up() -> None:
    # Shares of 10 are 4.7, 3.4 and 1.9: whole parts 4, 3, 1, then the two largest remainders.
    assert largest_remainder(10, np.array([0.47, 0.34, 0.19])).tolist() == [5, 3, 2]


def test_ties_go_to_the_earlier_entry() -> None:
    assert largest_remainder(3, np.array([1, 1])).tolist() == [2, 1]


@given(
    total=st.integers(0, 10**7),
    weights=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3),
)
def test_whole_numbers_sum_exactly_and_stay_within_one_of_the_share(total: int, weights: list[float]) -> None:
    counts = largest_remainder(total, np.array(weights))
    assert counts.sum() == total
    assert np.abs(counts - total * np.array(weights) / sum(weights)).max() < 1 + 1e-6


def test_zeros_are_raised_at_the_expense_of_the_largest() -> None:
    assert lift_to_one(np.array([0, 5, 3, 0])).tolist() == [1, 3, 3, 1]


def test_counts_without_a_zero_are_unchanged() -> None:
    assert lift_to_one(np.array([1, 9])).tolist() == [1, 9]
