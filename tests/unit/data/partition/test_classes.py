import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.classes import partition_classes
from peerkd.data.partition.quantity import equal_sizes
from peerkd.data.partition.skew import class_counts


@st.composite
def _cases(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    num_classes = draw(st.integers(1, 10))
    classes_per_peer = draw(st.integers(1, num_classes))
    num_peers = draw(st.integers(-(-num_classes // classes_per_peer), 15))
    totals = draw(st.lists(st.integers(num_peers, 300), min_size=num_classes, max_size=num_classes))
    return np.repeat(np.arange(num_classes), totals), num_peers, classes_per_peer


@given(case=_cases(), seed=st.integers(0, 1000))
def test_parts_are_disjoint_and_complete_with_the_exact_number_of_classes(
    case: tuple[np.ndarray, int, int], seed: int
) -> None:
    labels, num_peers, classes_per_peer = case
    parts = partition_classes(
        labels,
        sizes=equal_sizes(len(labels), num_peers=num_peers),
        classes_per_peer=classes_per_peer,
        rng=np.random.default_rng(seed),
    )
    check_partition(parts, num_samples=len(labels))
    assert [len(np.unique(labels[part])) for part in parts] == [classes_per_peer] * num_peers


def test_balanced_classes_that_divide_evenly_give_equal_sizes() -> None:
    labels = np.repeat(np.arange(10), 500)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        parts = partition_classes(labels, sizes=np.full(20, 250), classes_per_peer=2, rng=rng)
        assert [len(part) for part in parts] == [250] * 20


def test_a_class_is_divided_among_its_owners_in_proportion_to_their_sizes() -> None:
    labels = np.zeros(100, dtype=np.int64)
    sizes = np.array([10, 20, 70])
    parts = partition_classes(labels, sizes=sizes, classes_per_peer=1, rng=np.random.default_rng(0))
    assert [len(part) for part in parts] == sizes.tolist()


def test_every_owner_of_a_class_gets_a_sample() -> None:
    labels = np.repeat([0, 1], [100, 3])
    parts = partition_classes(labels, sizes=np.array([1, 1, 101]), classes_per_peer=2, rng=np.random.default_rng(0))
    assert class_counts(labels, parts, num_classes=2)[:, 1].tolist() == [1, 1, 1]


def test_a_larger_class_has_more_owners() -> None:
    labels = np.repeat([0, 1, 2], [800, 100, 100])
    parts = partition_classes(labels, sizes=np.full(10, 100), classes_per_peer=1, rng=np.random.default_rng(0))
    assert [len(part) for part in parts] == [100] * 10


def test_a_class_never_has_more_owners_than_samples() -> None:
    labels = np.repeat([0, 1, 2], [2, 50, 50])
    parts = partition_classes(
        labels, sizes=np.array([20, 20, 20, 20, 22]), classes_per_peer=2, rng=np.random.default_rng(0)
    )
    assert np.count_nonzero(class_counts(labels, parts, num_classes=3)[:, 0]) <= 2


def test_the_combination_of_classes_in_a_peer_is_random() -> None:
    labels = np.repeat(np.arange(10), 20)

    def pairs(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        parts = partition_classes(labels, sizes=np.full(10, 20), classes_per_peer=2, rng=rng)
        return [np.unique(labels[part]).tolist() for part in parts]

    assert pairs(0) == pairs(0)
    assert len({tuple(pairs(seed)[0]) for seed in range(20)}) > 5


@pytest.mark.parametrize(
    ("totals", "num_peers", "classes_per_peer", "message"),
    [
        ([9, 9, 9], 2, 0, "classes_per_peer must be at least 1, got 0"),
        ([9, 9, 9], 2, 4, "classes_per_peer must be at most the 3 classes in labels, got 4"),
        ([9, 9, 9], 2, 1, "num_peers * classes_per_peer must be at least the 3 classes in labels, got 2 * 1"),
        ([9, 1, 9], 3, 3, "num_peers * classes_per_peer must be at most 7, because a class cannot have more owners"),
    ],
)
def test_impossible_combinations_are_refused(
    totals: list[int], num_peers: int, classes_per_peer: int, message: str
) -> None:
    labels = np.repeat(np.arange(len(totals)), totals)
    sizes = equal_sizes(len(labels), num_peers=num_peers)
    with pytest.raises(ValueError, match=re.escape(message)):
        partition_classes(labels, sizes=sizes, classes_per_peer=classes_per_peer, rng=np.random.default_rng(0))
