import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.skew import class_counts
from peerkd.data.partition.split import matched_subset, split_stratified, stratified_sample

_TOTALS = st.lists(st.integers(1, 60), min_size=1, max_size=10)


def _labels(totals: list[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(totals)), totals))


@given(
    totals=_TOTALS,
    fractions=st.lists(st.floats(0.01, 0.3), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_stratified_parts_are_disjoint_complete_and_proportional(
    totals: list[int], fractions: list[float], seed: int
) -> None:
    labels = _labels(totals, seed)
    parts = split_stratified(labels, fractions=fractions, rng=np.random.default_rng(seed))
    check_partition(parts, num_samples=len(labels))
    counts = class_counts(labels, parts, num_classes=len(totals))
    shares = np.array([1 - sum(fractions), *fractions])
    # One sample for the rounding, and one for each part to which a missing class is added.
    assert np.abs(counts - np.outer(shares, totals)).max() < len(shares) + 1
    for k, total in enumerate(totals):
        assert total < len(shares) or counts[:, k].min() >= 1


def test_equal_fractions_get_equal_parts_even_if_every_class_rounds_alike() -> None:
    labels = np.repeat(np.arange(100), 15)
    parts = split_stratified(labels, fractions=[0.1, 0.1], rng=np.random.default_rng(0))
    assert [len(part) for part in parts] == [1200, 150, 150]
    counts = class_counts(labels, parts, num_classes=100)
    assert set(counts[1].tolist()) == set(counts[2].tolist()) == {1, 2}


def test_the_split_depends_only_on_the_seed() -> None:
    def split(seed: int) -> list[list[int]]:
        parts = split_stratified(np.arange(100) % 4, fractions=[0.2], rng=np.random.default_rng(seed))
        return [part.tolist() for part in parts]

    assert split(0) == split(0)
    assert split(0) != split(1)


@pytest.mark.parametrize("fractions", [[0.0], [-0.1, 0.2], [0.5, 0.5], [float("nan")]])
def test_fractions_out_of_range_are_refused(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"sum to less than 1, got {fractions}")):
        split_stratified(np.zeros(10, dtype=int), fractions=fractions, rng=np.random.default_rng(0))


def test_a_matched_subset_has_the_given_proportions_and_the_largest_possible_size() -> None:
    labels = np.arange(3000) % 3
    subset = matched_subset(labels, class_counts=np.array([30, 60, 0]), rng=np.random.default_rng(0))
    # Class 1 has 1000 samples, and its share is twice that of class 0.
    assert np.bincount(labels[subset], minlength=3).tolist() == [500, 1000, 0]


@given(totals=_TOTALS, data=st.data(), seed=st.integers(0, 1000))
def test_a_matched_subset_is_within_half_a_sample_of_its_share_and_exhausts_a_class(
    totals: list[int], data: st.DataObject, seed: int
) -> None:
    labels = _labels(totals, seed)
    class_counts_ = np.array(
        data.draw(st.lists(st.integers(0, 500), min_size=len(totals), max_size=len(totals)).filter(any))
    )
    subset = matched_subset(labels, class_counts=class_counts_, rng=np.random.default_rng(seed))
    taken = np.bincount(labels[subset], minlength=len(totals))
    num_samples = min(total * class_counts_.sum() / c for total, c in zip(totals, class_counts_, strict=True) if c)
    shares = num_samples * class_counts_ / class_counts_.sum()
    assert np.abs(taken - shares).max() <= 0.5 + 1e-9
    assert (taken[shares >= 0.5 + 1e-9] >= 1).all()
    assert any(taken[k] == totals[k] and class_counts_[k] for k in range(len(totals)))
    assert len(np.unique(subset)) == len(subset)


def test_a_share_of_half_a_sample_is_rounded_up_and_a_smaller_one_down() -> None:
    labels = np.repeat([0, 1, 2], [10, 10, 10])
    subset = matched_subset(labels, class_counts=np.array([1000, 50, 49]), rng=np.random.default_rng(0))
    assert np.bincount(labels[subset], minlength=3).tolist() == [10, 1, 0]


def test_a_class_without_evaluation_samples_is_omitted() -> None:
    labels = np.array([0, 2, 2, 0])
    subset = matched_subset(labels, class_counts=np.array([2, 9, 1, 1]), rng=np.random.default_rng(0))
    assert sorted(labels[subset]) == [0, 0, 2]
    with pytest.raises(ValueError, match="labels must have samples of some class in class_counts, got none"):
        matched_subset(labels, class_counts=np.array([0, 9, 0, 1]), rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("class_counts_", "message"),
    [
        ([0, 0, 0], "class_counts must be non-negative and not all 0, got [0, 0, 0]"),
        ([1, -1, 1], "class_counts must be non-negative and not all 0, got [1, -1, 1]"),
        ([1, 1], "labels must be from 0 to 1, got 0 to 2"),
    ],
)
def test_invalid_class_counts_are_refused(class_counts_: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        matched_subset(np.array([0, 1, 2]), class_counts=np.array(class_counts_), rng=np.random.default_rng(0))


@given(totals=_TOTALS, data=st.data(), seed=st.integers(0, 1000))
def test_a_stratified_sample_has_the_exact_size_and_proportional_classes(
    totals: list[int], data: st.DataObject, seed: int
) -> None:
    labels = _labels(totals, seed)
    num_samples = data.draw(st.integers(1, len(labels)))
    sample = stratified_sample(labels, num_samples=num_samples, rng=np.random.default_rng(seed))
    assert len(np.unique(sample)) == len(sample) == num_samples
    taken = np.bincount(labels[sample], minlength=len(totals))
    assert np.abs(taken - num_samples * np.array(totals) / len(labels)).max() < 1


@pytest.mark.parametrize("num_samples", [0, 11])
def test_a_sample_size_out_of_range_is_refused(num_samples: int) -> None:
    with pytest.raises(ValueError, match=f"num_samples must be from 1 to 10, the number of samples, got {num_samples}"):
        stratified_sample(np.zeros(10, dtype=int), num_samples=num_samples, rng=np.random.default_rng(0))
