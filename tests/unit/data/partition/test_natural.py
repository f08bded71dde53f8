import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.natural import partition_natural


@given(totals=st.lists(st.integers(1, 40), min_size=1, max_size=30), data=st.data(), seed=st.integers(0, 1000))
def test_parts_are_disjoint_complete_and_never_share_an_id(totals: list[int], data: st.DataObject, seed: int) -> None:
    num_peers = data.draw(st.integers(1, len(totals)))
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat(np.arange(len(totals)), totals))
    parts = partition_natural(ids, num_peers=num_peers, rng=rng)
    check_partition(parts, num_samples=len(ids))
    held = [set(ids[part].tolist()) for part in parts]
    assert sum(len(part_ids) for part_ids in held) == len(totals)
    # The bound of the greedy algorithm: the last id of the largest peer was added when that peer was the smallest.
    assert max(len(part) for part in parts) <= sum(totals) / num_peers + max(totals)


def test_one_id_per_peer_keeps_the_order_of_the_ids() -> None:
    ids = np.array(["site-c", "site-a", "site-b", "site-a"])
    parts = partition_natural(ids, num_peers=3, rng=np.random.default_rng(0))
    assert [part.tolist() for part in parts] == [[1, 3], [2], [0]]


def test_the_largest_id_goes_first_and_to_the_smallest_peer() -> None:
    ids = np.repeat([10, 11, 12, 13], [7, 6, 3, 2])
    parts = partition_natural(ids, num_peers=2, rng=np.random.default_rng(0))
    assert [np.unique(ids[part]).tolist() for part in parts] == [[10, 13], [11, 12]]


def test_the_seed_orders_ids_of_equal_size() -> None:
    ids = np.repeat(np.arange(20), 5)

    def split(seed: int) -> list[list[int]]:
        return [part.tolist() for part in partition_natural(ids, num_peers=2, rng=np.random.default_rng(seed))]

    assert split(0) == split(0)
    assert split(0) != split(1)


def test_fewer_ids_than_peers_are_refused() -> None:
    with pytest.raises(ValueError, match="num_peers must be at most the 2 distinct ids, got 3"):
        partition_natural(np.array([1, 1, 2]), num_peers=3, rng=np.random.default_rng(0))


def test_malformed_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="num_peers must be at least 1, got 0"):
        partition_natural(np.array([1]), num_peers=0, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"ids must be a vector, got shape \(1, 2\)"):
        partition_natural(np.array([[1, 2]]), num_peers=1, rng=np.random.default_rng(0))
