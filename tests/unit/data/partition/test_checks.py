import re

import numpy as np
import pytest

from peerkd.data.partition import checks


def test_a_partition_passes() -> None:
    checks.check_partition([np.array([2, 0]), np.array([1])], num_samples=3)


def test_a_partition_may_have_an_empty_part() -> None:
    checks.check_partition([np.array([0, 1]), np.array([], dtype=np.int64)], num_samples=2)


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_out_of_range_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=f"parts must contain indices from 0 to 2, got {index}"):
        checks.check_partition([np.array([0, 1]), np.array([index])], num_samples=3)


def test_an_index_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="must be disjoint, got 1 indices more than once, the first 1"):
        checks.check_partition([np.array([0, 1]), np.array([1, 2])], num_samples=3)


def test_an_index_in_no_part_is_refused() -> None:
    with pytest.raises(ValueError, match="must be complete, got 2 indices in no part, the first 1"):
        checks.check_partition([np.array([0])], num_samples=3)


def test_a_partition_without_parts_is_incomplete() -> None:
    with pytest.raises(ValueError, match="must be complete"):
        checks.check_partition([], num_samples=1)


@pytest.mark.parametrize("labels", [np.zeros((2, 2), dtype=int), np.array([], dtype=int), np.array([0.0, 1.0])])
def test_labels_must_be_a_vector_of_integers(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="labels must be a non-empty vector of integers, got shape"):
        checks.check_labels(labels)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (np.array([1.0, 2.0]), "sizes must be a non-empty vector of integers, got shape (2,) and type float64"),
        (np.array([[3]]), "sizes must be a non-empty vector of integers, got shape (1, 1)"),
        (np.array([3, 0]), "sizes must each be at least 1, got 0 for peer 1"),
        (np.array([1, 1]), "sizes must sum to the 3 samples, got 2"),
    ],
)
def test_sizes_must_fit_the_samples(sizes: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checks.check_sizes(sizes, num_samples=3)


@pytest.mark.parametrize("concentration", [0.0, -1.0, 1e-7, float("inf"), float("nan")])
def test_concentrations_that_floating_point_cannot_represent_are_refused(concentration: float) -> None:
    with pytest.raises(ValueError, match="concentration must be from 1e-6 to 1e9, got"):
        checks.check_concentration(concentration)
