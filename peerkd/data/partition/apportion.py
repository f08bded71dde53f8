"""Apportionment: whole numbers in given proportions, as seats are given to parties."""

import numpy as np

from peerkd.arrays import FloatArray, IntArray


def largest_remainder(total: int, weights: FloatArray | IntArray) -> IntArray:
    """Return whole numbers that sum to ``total``, in proportion to ``weights`` up to rounding.

    This is Hamilton's method. The exact share of an entry is ``total * weight / sum(weights)``. Every entry gets the
    whole part of its share, and the entries with the largest remainders get one more each. Every entry of the result
    thus differs from its exact share by less than one. Ties go to the earlier entry.

    Args:
        total: Number to distribute, at least 0.
        weights: (num_entries,) non-negative, not all 0.
    """
    shares = total * (weights / weights.sum())
    counts: IntArray = np.floor(shares).astype(np.int64)
    num_left = total - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:num_left]] += 1
    return counts


def lift_to_one(counts: IntArray) -> IntArray:
    """Return ``counts`` with every 0 raised to 1 and the largest entries lowered, so that the sum stays the same.

    Args:
        counts: (num_entries,) non-negative, with a sum of at least ``num_entries``.
    """
    lifted = np.maximum(counts, 1)
    for _ in range(int(lifted.sum() - counts.sum())):
        lifted[lifted.argmax()] -= 1
    return lifted
