"""Blocks of classes: the samples are sorted by class and cut into one block for each peer."""

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.checks import check_labels, check_sizes


def partition_example_blocks(labels: IntArray, *, sizes: IntArray, rng: np.random.Generator) -> list[IntArray]:
    """Return a partition in which peer ``p`` has the next ``sizes[p]`` samples in the order of the classes.

    A peer shares at most its first and its last class with others. Within a class the samples are shuffled.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) each at least 1, with the sum ``num_samples``.
        rng: The source of the shuffle.

    Returns:
        One ascending array of indices for each peer; disjoint and complete.

    Raises:
        ValueError: If ``labels`` or ``sizes`` are malformed or do not fit together.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    order = np.lexsort((rng.permutation(len(labels)), labels))
    return [np.sort(block) for block in np.split(order, np.cumsum(sizes)[:-1])]
