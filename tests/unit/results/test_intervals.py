import numpy as np
import pytest

from peerkd.results.intervals import Estimate, mean_over_pairs, over_pairs, spearman, spearman_over_pairs


def off_diagonal(values):
    matrix = np.array(values, dtype=float)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def test_the_mean_omits_unknown_values():
    estimate = mean_over_pairs(off_diagonal([[0, 1, 2], [3, 0, np.nan], [5, 6, 0]]))
    assert estimate.value == pytest.approx(17 / 5)
    assert estimate.num == 5


def test_equal_values_have_an_interval_of_width_zero():
    estimate = mean_over_pairs(off_diagonal(np.full((6, 6), 0.25)))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.25, 0.25, 0.25))
    assert estimate.is_above_zero


def test_an_interval_is_reproducible_and_contains_the_value():
    values = off_diagonal(np.random.default_rng(0).normal(size=(10, 10)))
    estimate = mean_over_pairs(values)
    assert mean_over_pairs(values) == estimate
    assert estimate.low < estimate.value < estimate.high


def test_pairs_with_the_same_student_do_not_count_as_independent():
    gain_of_student = np.random.default_rng(0).normal(size=(10, 1))
    estimate = mean_over_pairs(off_diagonal(np.repeat(gain_of_student, 10, axis=1)))
    width_if_independent = 2 * 1.96 * gain_of_student.std() / np.sqrt(90)
    assert estimate.high - estimate.low > 2 * width_if_independent


@pytest.mark.parametrize("num_peers", [2, 3])
def test_too_few_peers_have_no_interval(num_peers):
    estimate = mean_over_pairs(off_diagonal(np.ones((num_peers, num_peers))))
    assert estimate.value == 1
    assert np.isnan(estimate.low)
    assert not estimate.is_above_zero
    assert not estimate.is_below_zero


def test_a_statistic_without_values_is_not_an_error():
    estimate = mean_over_pairs(np.full((5, 5), np.nan))
    assert np.isnan(estimate.value)
    assert estimate.num == 0


def test_the_coverage_of_intervals_is_about_the_stated_one():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(60):
        noise = rng.normal(size=(10, 1)) + rng.normal(size=(1, 10)) + rng.normal(size=(10, 10))
        estimate = mean_over_pairs(off_diagonal(noise))
        hits += estimate.low <= 0 <= estimate.high
    assert hits >= 0.8 * 60


def test_the_statistic_of_pairs_agrees_with_the_mean():
    values = off_diagonal(np.random.default_rng(0).normal(size=(6, 6)))
    expected = mean_over_pairs(values)
    estimate = over_pairs(lambda x, _: float(x.mean()) if x.size else np.nan, values, values)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_bounds_distinguish_gains_from_losses():
    assert Estimate(0.2, 0.1, 0.3, 9).is_above_zero
    assert Estimate(-0.2, -0.3, -0.1, 9).is_below_zero
    assert not Estimate(0.2, -0.1, 0.3, 9).is_above_zero


def test_spearman_is_pearson_of_ranks_with_averaged_ties():
    # By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4; 4.5 / sqrt(4.5 * 5).
    assert spearman(np.array([1.0, 5, 5, 9]), np.array([10.0, 20, 30, 40])) == pytest.approx(4.5 / np.sqrt(22.5))
    assert spearman(np.array([1.0, 2, 3]), np.array([1.0, 8, 27])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)


def test_spearman_of_constant_values_is_unknown():
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_spearman_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="equally long"):
        spearman(np.ones(3), np.ones(2))


def test_a_peer_without_values_does_not_change_the_statistic():
    values = off_diagonal(np.random.default_rng(0).normal(size=(6, 6)))
    with_another = np.full((7, 7), np.nan)
    kept = np.ix_([0, 1, 3, 4, 5, 6], [0, 1, 3, 4, 5, 6])
    with_another[kept] = values
    assert mean_over_pairs(with_another) == mean_over_pairs(values)
    distances = np.random.default_rng(1).uniform(size=(7, 7))
    assert over_pairs(spearman, distances, with_another) == over_pairs(spearman, distances[kept], values)


def test_a_statistic_uses_the_pairs_that_have_both_quantities():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(5, 5)), off_diagonal(rng.normal(size=(5, 5)))
    y[1, 3] = np.nan
    found = over_pairs(spearman, x, y)
    is_known = ~np.isnan(y)
    assert found.num == 19
    assert found.value == pytest.approx(spearman(x[is_known], y[is_known]))
    assert found.low < found.high
    nothing = over_pairs(spearman, x, np.full((5, 5), np.nan))
    assert nothing.num == 0
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


@pytest.mark.parametrize("num_peers", [3, 6])
def test_counted_ranks_give_the_correlation_of_sorted_ones(num_peers):
    rng = np.random.default_rng(0)
    x, y = (off_diagonal(rng.integers(0, 5, (num_peers, num_peers)) / 7) for _ in range(2))
    y[0, 1] = np.nan
    for values in (y, np.full_like(y, np.nan), off_diagonal(np.ones_like(y))):
        np.testing.assert_equal(spearman_over_pairs(x, values), over_pairs(spearman, x, values))


def test_few_pairs_have_the_intervals_that_they_have_among_all_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    values_PP, others_PP = np.where(rng.random((12, 12)) < 0.15, rng.normal(size=(2, 12, 12)), np.nan)
    whole = mean_over_pairs(values_PP), spearman_over_pairs(values_PP, others_PP)
    monkeypatch.setattr("peerkd.results.intervals._MANY_PEERS", 2)
    few = mean_over_pairs(values_PP), spearman_over_pairs(values_PP, others_PP)
    for one, other in zip(few, whole, strict=True):
        assert (one.value, one.num) == (other.value, other.num)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
