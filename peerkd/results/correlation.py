"""Rank correlation in numpy."""

import numpy as np

from peerkd.results.arrays import FloatArray


def spearman(x: FloatArray, y: FloatArray) -> float:
    """Return Spearman's rank correlation, in [-1, 1]; NaN where one of the two does not vary.

    Equal values share the mean of their ranks.

    Raises:
        ValueError: If the two are not equally long.
    """
    if x.shape != y.shape:
        raise ValueError(f"x and y must be equally long, got {x.shape} and {y.shape}.")
    x_ranks, y_ranks = _ranks(x), _ranks(y)
    x_ranks -= x_ranks.mean()
    y_ranks -= y_ranks.mean()
    scale = np.sqrt((x_ranks**2).sum() * (y_ranks**2).sum())
    return float((x_ranks * y_ranks).sum() / scale) if scale > 0 else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: FloatArray = (last - (counts - 1) / 2)[places]
    return ranks
