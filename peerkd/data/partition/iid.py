"""Partitions without label skew: the samples of all peers come from the same distribution."""

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.checks import check_labels, check_sizes
from peerkd.data.partition.deal import group_by_owner


def partition_iid(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    """Return a uniformly random partition with exactly ``sizes[p]`` samples for peer ``p``.

    The samples are shuffled first, so that peers have similar samples even if
    the data set is stored class by class.

    Args:
        labels: (num_samples,) class of each sample; only the number of samples matters.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        rng: Generator that shuffles the samples.

    Returns:
        One ascending index array per peer; disjoint and complete.

    Raises:
        ValueError: If ``labels`` or ``sizes`` is malformed, or they do not fit together.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    owners = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return group_by_owner(owners, num_owners=len(sizes))
