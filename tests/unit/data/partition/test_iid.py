import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.iid import partition_iid


@given(sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_parts_are_disjoint_complete_and_of_the_exact_sizes(sizes: list[int], seed: int) -> None:
    labels = np.zeros(sum(sizes), dtype=np.int64)
    parts = partition_iid(labels, sizes=np.array(sizes), rng=np.random.default_rng(seed))
    check_partition(parts, num_samples=sum(sizes))
    assert [len(part) for part in parts] == sizes


def test_sorted_data_still_give_every_peer_every_class() -> None:
    labels = np.repeat(np.arange(10), 1000)
    parts = partition_iid(labels, sizes=np.full(5, 2000), rng=np.random.default_rng(0))
    # 2000 of 10,000 without replacement: 200 per class, standard deviation 12.
    for part in parts:
        assert np.abs(np.bincount(labels[part], minlength=10) - 200).max() < 60


def test_the_split_depends_only_on_the_seed() -> None:
    def split(seed: int) -> list[list[int]]:
        parts = partition_iid(np.zeros(100, dtype=int), sizes=np.array([60, 40]), rng=np.random.default_rng(seed))
        return [part.tolist() for part in parts]

    assert split(0) == split(0)
    assert split(0) != split(1)


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="sizes must sum to the 10 samples, got 9"):
        partition_iid(np.zeros(10, dtype=int), sizes=np.array([4, 5]), rng=np.random.default_rng(0))
