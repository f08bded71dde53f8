"""Partition by a function of a user's own module."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.checks import check_labels, check_partition, check_sizes
from peerkd.own_code import describe_error, find_object


def partition_by_own_function(
    labels: IntArray, *, sizes: IntArray, rng: np.random.Generator, function: str, options: Mapping[str, Any]
) -> list[IntArray]:
    """Return the partition that a user's function returns, after checking it.

    The function is called as ``function(labels, sizes=sizes, rng=rng, **options)``. It must use no other source of
    random numbers than ``rng``, because a run that is repeated must give the same partition.

    Args:
        labels: (num_samples,) class of each sample.
        sizes: (num_peers,) number of samples that each peer should have. The function may give a peer more or fewer.
        rng: Generator of the draws.
        function: The path of the function, ``module:name``.
        options: Further arguments of the function, by name.

    Returns:
        One ascending index array per peer; disjoint and complete.

    Raises:
        ValueError: If the function raises an error, or its result is not a partition among ``len(sizes)`` peers.
    """
    check_labels(labels)
    check_sizes(sizes, num_samples=len(labels))
    divide = find_object(function, field="function", noun="function").value
    try:
        found = [np.asarray(part) for part in divide(labels.copy(), sizes=sizes.copy(), rng=rng, **options)]
    except Exception as error:
        raise ValueError(
            f"function must divide {len(labels):,} samples among {len(sizes):,} peers, and {function} raised "
            f"{describe_error(error)}."
        ) from error
    if len(found) != len(sizes):
        raise ValueError(f"function must return an array for each of the {len(sizes):,} peers, got {len(found):,}.")
    for peer, part in enumerate(found):
        if part.ndim != 1 or not np.issubdtype(part.dtype, np.integer):
            raise ValueError(
                f"function must return vectors of whole numbers, got shape {part.shape} and type {part.dtype} for peer "
                f"{peer}."
            )
    parts: list[IntArray] = [np.sort(part).astype(np.int64) for part in found]
    check_partition(parts, num_samples=len(labels))
    return parts
