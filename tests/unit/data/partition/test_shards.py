import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.shards import partition_shards


@given(
    num_peers=st.integers(1, 12),
    shards_per_peer=st.integers(1, 5),
    surplus=st.integers(0, 300),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_complete_and_nearly_equal(
    num_peers: int, shards_per_peer: int, surplus: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, size=num_peers * shards_per_peer + surplus)
    parts = partition_shards(labels, num_peers=num_peers, shards_per_peer=shards_per_peer, rng=rng)
    check_partition(parts, num_samples=len(labels))
    assert np.ptp([len(part) for part in parts]) <= shards_per_peer


def test_whole_class_shards_give_each_peer_at_most_that_many_classes() -> None:
    labels = np.arange(1000) % 10
    parts = partition_shards(labels, num_peers=10, shards_per_peer=2, rng=np.random.default_rng(0))
    assert max(len(np.unique(labels[part])) for part in parts) == 2
    assert [len(part) for part in parts] == [100] * 10


def test_the_split_depends_only_on_the_seed() -> None:
    def split(seed: int) -> list[list[int]]:
        rng = np.random.default_rng(seed)
        return [part.tolist() for part in partition_shards(np.arange(60) % 3, num_peers=3, shards_per_peer=2, rng=rng)]

    assert split(0) == split(0)
    assert split(0) != split(1)


@pytest.mark.parametrize(
    ("num_peers", "shards_per_peer", "message"),
    [
        (0, 1, "num_peers must be at least 1, got 0"),
        (1, 0, "shards_per_peer must be at least 1, got 0"),
        (3, 4, "num_peers * shards_per_peer must be at most the 10 samples, got 3 * 4"),
    ],
)
def test_arguments_out_of_range_are_named(num_peers: int, shards_per_peer: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        partition_shards(
            np.zeros(10, dtype=int),
            num_peers=num_peers,
            shards_per_peer=shards_per_peer,
            rng=np.random.default_rng(0),
        )
