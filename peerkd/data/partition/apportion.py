"""Apportionment: whole numbers in given proportions, as seats are given to parties."""

import numpy as np

from peerkd.arrays import FloatArray, IntArray


def largest_remainder(total: int, weights: FloatArray | IntArray) -> IntArray:
    """Return whole numbers that sum to ``total`` and are each within one of ``total * weights / sum(weights)``.

    This is Hamilton's method: every entry gets the whole part of its share, and
    the entries with the largest remainders get one more each. Ties go to the
    earlier entry.

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
    """Return ``counts`` with every 0 raised to 1, at the expense of the largest entries.

    Args:
        counts: (num_entries,) non-negative, with a sum of at least ``num_entries``.
    """
    lifted = np.maximum(counts, 1)
    for _ in range(int(lifted.sum() - counts.sum())):
        lifted[lifted.argmax()] -= 1
    return lifted
