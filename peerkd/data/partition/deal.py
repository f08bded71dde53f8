"""Random assignment of samples to parts, from the number of samples of each class in each part."""

import numpy as np

from peerkd.arrays import IntArray


def deal_classes(classes: IntArray, counts: IntArray, *, rng: np.random.Generator) -> list[IntArray]:
    """Return one index array per row of ``counts``; array ``p`` has ``counts[p, k]`` random samples of class ``k``.

    Args:
        classes: (num_samples,) class of each sample, in ``range(num_classes)``.
        counts: (num_parts, num_classes); column ``k`` sums to the number of samples of class ``k``.
        rng: Generator that shuffles the samples of each class.
    """
    num_parts, num_classes = counts.shape
    owners = np.empty(len(classes), dtype=np.int64)
    owners[shuffled_by_class(classes, rng=rng)] = np.repeat(
        np.tile(np.arange(num_parts), num_classes), counts.T.ravel()
    )
    return group_by_owner(owners, num_owners=num_parts)


def shuffled_by_class(labels: IntArray, *, rng: np.random.Generator) -> IntArray:
    """Return all indices sorted by label, in random order within each label."""
    shuffled = rng.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def group_by_owner(owners: IntArray, *, num_owners: int) -> list[IntArray]:
    """Return the indices of each owner in ascending order, so that equal partitions have equal arrays.

    Args:
        owners: (num_samples,) owner of each sample, in ``range(num_owners)``.
        num_owners: Number of arrays to return; the array of an owner without samples is empty.
    """
    sizes = np.bincount(owners, minlength=num_owners)
    return np.split(np.argsort(owners, kind="stable"), np.cumsum(sizes)[:-1])
