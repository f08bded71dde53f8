import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.skew import class_counts, earth_movers_distance, hellinger_distance, jensen_shannon_distance

DISTANCES = [jensen_shannon_distance, hellinger_distance, earth_movers_distance]

_COUNTS = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 10**6), min_size=width, max_size=width).filter(any), min_size=1, max_size=6
    )
)


def test_classes_are_counted_for_each_peer() -> None:
    labels = np.array([0, 2, 2, 0, 1])
    parts = [np.array([0, 1, 2]), np.array([3, 4]), np.array([], dtype=np.int64)]
    assert class_counts(labels, parts, num_classes=4).tolist() == [[1, 0, 2, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_labels_beyond_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="labels must be from 0 to 1, got 0 to 2"):
        class_counts(np.array([0, 2]), [np.array([0, 1])], num_classes=2)


def test_jensen_shannon_is_the_root_of_the_divergence_in_bits() -> None:
    # p = (1/2, 1/2), q = (1, 0), m = (3/4, 1/4).
    kl_p = 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25)
    kl_q = 1.0 * np.log2(1.0 / 0.75)
    distances = jensen_shannon_distance(np.array([[3, 3], [8, 0]]))
    np.testing.assert_allclose(distances[0, 1], np.sqrt((kl_p + kl_q) / 2), rtol=1e-12)


def test_jensen_shannon_of_nearly_equal_distributions_is_a_number() -> None:
    # For these, the divergence as scipy computes it is a negative number of the size of a rounding error.
    distances = jensen_shannon_distance(np.array([[343_770, 342_975], [343_769, 342_974]]))
    assert distances[0, 1] == pytest.approx(0, abs=1e-7)


def test_hellinger_is_the_written_out_formula() -> None:
    # p = (1/4, 3/4), q = (1, 0): 1 - sum sqrt(p q) = 1 - 1/2.
    distances = hellinger_distance(np.array([[1, 3], [7, 0]]))
    np.testing.assert_allclose(distances[0, 1], np.sqrt(1 - 0.5), rtol=1e-12)


def test_earth_movers_distance_is_the_mass_that_must_change_class() -> None:
    distances = earth_movers_distance(np.array([[6, 2, 2], [1, 1, 8], [12, 4, 4]]))
    np.testing.assert_allclose(distances, [[0, 0.6, 0], [0.6, 0, 0.6], [0, 0.6, 0]], atol=1e-15)


def test_the_cost_of_moving_is_the_same_between_any_two_classes() -> None:
    near, far = (
        earth_movers_distance(np.array([[1, 0, 0], [0, 1, 0]])),
        earth_movers_distance(np.array([[1, 0, 0], [0, 0, 1]])),
    )
    assert near.tolist() == far.tolist()


@pytest.mark.parametrize("distance", DISTANCES)
@given(counts=_COUNTS)
def test_distances_are_symmetric_within_zero_and_one_and_zero_to_oneself(
    distance: Callable[[np.ndarray], np.ndarray], counts: list[list[int]]
) -> None:
    distances = distance(np.array(counts))
    assert distances.dtype == np.float64
    assert distances.shape == (len(counts), len(counts))
    assert (distances >= 0).all()
    assert (distances <= 1).all()
    assert (distances == distances.T).all()
    assert (np.diag(distances) == 0).all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_peers_without_a_common_class_are_at_distance_one(distance: Callable[[np.ndarray], np.ndarray]) -> None:
    np.testing.assert_allclose(distance(np.array([[1, 6, 0, 0], [0, 0, 3, 4]]))[0, 1], 1, rtol=1e-12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_proportions_are_at_distance_zero_whatever_the_sizes(
    distance: Callable[[np.ndarray], np.ndarray],
) -> None:
    np.testing.assert_allclose(distance(np.array([[1, 2, 4, 0], [300, 600, 1200, 0]]))[0, 1], 0, atol=1e-7)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([1, 2], "counts must be a matrix (num_peers, num_classes), got shape (2,)"),
        ([[1, 2], [0, 0]], "counts must be non-negative and not all 0, got [0, 0] for peer 1"),
        ([[3, -1], [1, 1]], "counts must be non-negative and not all 0, got [3, -1] for peer 0"),
    ],
)
def test_counts_without_a_distribution_are_refused(
    distance: Callable[[np.ndarray], np.ndarray], counts: list[list[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        distance(np.array(counts))
