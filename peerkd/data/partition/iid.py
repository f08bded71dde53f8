"""No label skew: every peer draws from the same distribution."""

import numpy as np

from peerkd.data.partition.arrays import IntArray
from peerkd.data.partition.checks import check_labels, check_sizes
from peerkd.data.partition.deal import group_by_owner


def partition_iid(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    """Return a uniformly random partition with exactly ``sizes[p]`` samples for peer ``p``.

    The samples are shuffled before they are dealt, so the peers are alike even
    where the data set is stored class by class.

    Args:
        labels: (num_samples,) class of each sample; only their number matters here.
        sizes: (num_peers,) each at least 1, summing to ``num_samples``.
        rng: Source of the shuffle.

    Returns:
        One ascending index array per peer; disjoint and complete.

    Raises:
        ValueError: If ``labels`` or ``sizes`` are malformed or do not fit together.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    owners = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return group_by_owner(owners, num_owners=len(sizes))
