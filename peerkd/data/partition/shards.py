"""Label skew by sorted shards."""

import numpy as np

from peerkd.data.partition.arrays import IntArray
from peerkd.data.partition.checks import check_at_least, check_labels
from peerkd.data.partition.deal import shuffled_by_class


def partition_shards(
    labels: IntArray, *, num_peers: int, shards_per_peer: int, rng: np.random.Generator
) -> list[IntArray]:
    """Return a partition made by sorting by label, cutting into shards and dealing these at random.

    McMahan et al. 2017 (arXiv:1602.05629, section 3). A shard can straddle
    two classes or more, and a peer can get two shards of one class, so the
    number of classes per peer varies; ``partition_classes`` fixes it. Shards
    differ by at most one sample, so peers by at most ``shards_per_peer``.

    Args:
        labels: (num_samples,) class of each sample.
        num_peers: Number of peers, at least 1.
        shards_per_peer: Number of shards each peer gets, at least 1.
        rng: Deals the shards, and orders the samples within a class before the cut.

    Returns:
        One ascending index array per peer; disjoint and complete.

    Raises:
        ValueError: If an argument is malformed, or there are fewer samples than shards.
    """
    check_labels(labels)
    check_at_least("num_peers", num_peers, 1)
    check_at_least("shards_per_peer", shards_per_peer, 1)
    num_shards = num_peers * shards_per_peer
    if num_shards > len(labels):
        raise ValueError(
            f"num_peers * shards_per_peer must be at most the {len(labels)} samples, "
            f"got {num_peers} * {shards_per_peer}."
        )
    shards = np.array_split(shuffled_by_class(labels, rng=rng), num_shards)
    hands = rng.permutation(num_shards).reshape(num_peers, shards_per_peer)
    return [np.sort(np.concatenate([shards[shard] for shard in hand])) for hand in hands]
