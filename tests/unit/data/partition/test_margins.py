import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerkd.data.partition.margins import fit_margins, round_to_margins


def test_fitting_keeps_the_odds_ratio_of_the_target() -> None:
    # Odds 9 and 1.5 have ratio 6; with even margins the odds are sqrt(6) and 1 / sqrt(6).
    sums = np.array([10**6, 10**6])
    fitted = fit_margins(np.array([[0.9, 0.1], [0.6, 0.4]]), row_sums=sums, column_sums=sums)
    np.testing.assert_allclose(fitted[0, 0] / fitted[0, 1], np.sqrt(6), rtol=1e-5)
    np.testing.assert_allclose(fitted[1, 0] / fitted[1, 1], 1 / np.sqrt(6), rtol=1e-5)


def test_a_target_with_the_right_sums_is_unchanged() -> None:
    target = np.array([[1.5, 2.5], [3.5, 0.5]])
    fitted = fit_margins(target, row_sums=np.array([4, 4]), column_sums=np.array([5, 3]))
    np.testing.assert_allclose(fitted, target, rtol=1e-12)


@pytest.mark.parametrize("log_smallest", [-5.0, -300.0])
@pytest.mark.parametrize("seed", range(5))
def test_sums_are_exact_even_if_the_scaling_does_not_converge(seed: int, log_smallest: float) -> None:
    rng = np.random.default_rng(seed)
    target = np.exp(rng.uniform(log_smallest, 0, size=(6, 4)))
    row_sums = np.array([1, 1000, 5, 5, 300, 89])
    column_sums = np.array([1390, 4, 5, 1])
    fitted = fit_margins(target, row_sums=row_sums, column_sums=column_sums)
    assert fitted.min() >= 0
    np.testing.assert_allclose(fitted.sum(axis=1), row_sums, rtol=1e-9)
    np.testing.assert_allclose(fitted.sum(axis=0), column_sums, rtol=1e-9)


def test_the_largest_remainders_of_a_table_are_rounded_up() -> None:
    table = np.array([[1.9, 0.1], [0.1, 1.9]])
    rounded = round_to_margins(table, row_sums=np.array([2, 2]), column_sums=np.array([2, 2]))
    assert rounded.tolist() == [[2, 0], [0, 2]]


def test_sums_are_exact_even_if_no_unused_remainder_is_left() -> None:
    # The two remainders on the diagonal are rounded up first. The last row and column then meet in a cell without one.
    table = np.array([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0]])
    ones = np.ones(3, dtype=np.int64)
    assert round_to_margins(table, row_sums=ones, column_sums=ones).tolist() == np.eye(3).tolist()


@settings(max_examples=150)
@given(
    counts=st.integers(1, 8).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 50), min_size=width, max_size=width), min_size=1, max_size=8)
    ),
    seed=st.integers(0, 1000),
)
def test_rounding_keeps_both_sums_of_any_table(counts: list[list[int]], seed: int) -> None:
    wanted = np.array(counts) + 1
    row_sums, column_sums = wanted.sum(axis=1), wanted.sum(axis=0)
    target = np.random.default_rng(seed).random(wanted.shape) + 1e-3
    rounded = round_to_margins(
        fit_margins(target, row_sums=row_sums, column_sums=column_sums), row_sums=row_sums, column_sums=column_sums
    )
    assert rounded.min() >= 0
    assert rounded.sum(axis=1).tolist() == row_sums.tolist()
    assert rounded.sum(axis=0).tolist() == column_sums.tolist()
