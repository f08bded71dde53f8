import numpy as np
import pytest

from peerkd.results.position import gain_standard_error, position

NAN = np.nan
TEST_GAIN = np.array([[NAN, 0.04, 0.02], [0.01, NAN, 0.06], [0.03, 0.00, NAN]])
UNKNOWN = np.full((3, 3), NAN)


def test_rows_are_students_and_columns_teachers():
    found = position(TEST_GAIN, TEST_GAIN, UNKNOWN)
    assert found.as_student == pytest.approx([0.03, 0.035, 0.015])
    assert found.as_teacher == pytest.approx([0.02, 0.02, 0.04])
    assert found.difference[0, 1] == pytest.approx(0.03)
    assert found.difference[1, 0] == pytest.approx(-0.03)


def test_unordered_pairs_count_once():
    found = position(TEST_GAIN, TEST_GAIN, UNKNOWN)
    assert found.mean_absolute_difference.value == pytest.approx((0.03 + 0.01 + 0.06) / 3)
    assert found.mean_absolute_difference.num == 3


def test_positions_are_chosen_on_validation_and_scored_on_test():
    validation = np.array([[NAN, 0.0, 0.0], [0.1, NAN, 0.1], [0.0, 0.0, NAN]])
    # 1 rather than 0 is wrong on test (-0.03), no preference between 0 and 2, 1 rather than 2 is right (+0.06).
    found = position(TEST_GAIN, validation, UNKNOWN)
    assert found.preferred_over_other.value == pytest.approx((-0.03 + 0 + 0.06) / 3)


def test_noise_is_the_mean_size_of_a_normal_difference():
    errors = np.where(np.eye(3, dtype=bool), NAN, 0.01)
    rng = np.random.default_rng(0)
    simulated = np.abs(rng.normal(0, 0.01, 100_000) - rng.normal(0, 0.01, 100_000)).mean()
    assert position(TEST_GAIN, TEST_GAIN, errors).noise == pytest.approx(simulated, rel=0.02)
    assert np.isnan(position(TEST_GAIN, TEST_GAIN, UNKNOWN).noise)


def test_the_standard_error_of_a_gain_is_that_of_its_samples():
    change = np.array([1] * 30 + [-1] * 10 + [0] * 60)
    error = gain_standard_error(np.array([[0.3]]), np.array([[0.1]]), num_test_samples=100)
    assert error[0, 0] == pytest.approx(change.std() / np.sqrt(100))


def test_a_peer_without_gains_has_no_mean_and_does_not_affect_others():
    gain = np.full((4, 4), NAN)
    gain[:3, :3] = TEST_GAIN
    found, wanted = (position(each, each, np.full(each.shape, NAN)) for each in (gain, TEST_GAIN))
    assert found.as_student[:3].tolist() == wanted.as_student.tolist()
    assert np.isnan([found.as_student[3], found.as_teacher[3]]).all()
    assert found.num_as_student.tolist() == [2, 2, 2, 0]
    assert found.preferred_over_other == wanted.preferred_over_other
    nothing = position(UNKNOWN, UNKNOWN, UNKNOWN)
    assert nothing.preferred_over_other.num == 0
    assert np.isnan(nothing.noise)
