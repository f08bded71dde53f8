"""Label skew by shards of the samples sorted by label."""

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.checks import check_at_least, check_labels
from peerkd.data.partition.deal import shuffled_by_class


def partition_shards(
    labels: IntArray, *, num_peers: int, shards_per_peer: int, rng: np.random.Generator
) -> list[IntArray]:
    """Sort the samples by label, cut them into shards and assign ``shards_per_peer`` random shards to each peer.

    This is the partition of McMahan et al. 2017 (arXiv:1602.05629, section 3). A shard can contain several classes, and
    a peer can get several shards of one class, so the number of classes per peer varies, in contrast to
    ``partition_classes``. The sizes of two shards differ by at most one sample, and the sizes of two peers by at most
    ``shards_per_peer`` samples.

    Args:
        labels: (num_samples,) class of each sample.
        num_peers: Number of peers, at least 1.
        shards_per_peer: Number of shards of each peer, at least 1.
        rng: Generator that shuffles the samples of each class before the cut, and the shards.

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
    shards_of_peers = rng.permutation(num_shards).reshape(num_peers, shards_per_peer)
    return [np.sort(np.concatenate([shards[shard] for shard in own])) for own in shards_of_peers]
