"""Distances between the label distributions of peers, for each pair of peers.

The class proportions of a peer are the numbers of its samples of each class, divided by the number of all its samples.
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import pdist, squareform

from peerkd.arrays import FloatArray, IntArray


def class_counts(labels: IntArray, parts: Sequence[IntArray], *, num_classes: int) -> IntArray:
    """Return the number of samples of each class that each peer has, as an array of shape (num_peers, num_classes).

    Args:
        labels: (num_samples,) class of each sample, in ``range(num_classes)``.
        parts: One index array per peer.
        num_classes: Number of columns. A class that no peer has counts 0.

    Raises:
        ValueError: If a label is out of range.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}.")
    return np.stack([np.bincount(labels[part], minlength=num_classes) for part in parts])


def jensen_shannon_distance(counts: IntArray) -> FloatArray:
    """Return ``sqrt((KL(p || m) + KL(q || m)) / 2)`` with ``m = (p + q) / 2``, in base 2, for each pair of peers.

    p and q are the class proportions of the two peers. The *distance* is the square root of the divergence, because
    only the root is a metric (Endres and Schindelin 2003). A class that neither peer has adds nothing. Peers without a
    common class are at distance 1.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """
    nats = pdist(_proportions(counts), metric="jensenshannon")
    # Between nearly equal rows, rounding can give a divergence of -1e-17, whose root is NaN.
    return _matrix(np.nan_to_num(nats / np.sqrt(np.log(2)), nan=0.0))


def hellinger_distance(counts: IntArray) -> FloatArray:
    """Return ``||sqrt(p) - sqrt(q)||_2 / sqrt(2)`` for each pair of peers, whose class proportions are p and q.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """
    return _matrix(pdist(np.sqrt(_proportions(counts)), metric="euclidean") / np.sqrt(2))


def earth_movers_distance(counts: IntArray) -> FloatArray:
    """Return ``||p - q||_1 / 2`` for each pair of peers, whose class proportions are p and q.

    Classes have no order, so moving a sample from any class to any other costs 1. With these costs, the cheapest
    transport from p to q moves, in each class, only the excess of p over q. The earth mover's distance is therefore the
    sum of these excesses, which is the total variation distance ``||p - q||_1 / 2``. Zhao et al. 2018
    (arXiv:1806.00582) omit the factor 1/2, so their values are twice as large.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """
    return _matrix(pdist(_proportions(counts), metric="cityblock") / 2)


def _proportions(counts: IntArray) -> FloatArray:
    if counts.ndim != 2:
        raise ValueError(f"counts must be a matrix (num_peers, num_classes), got shape {counts.shape}.")
    is_wrong = (counts < 0).any(axis=1) | ~counts.any(axis=1)
    if is_wrong.any():
        first = is_wrong.argmax()
        raise ValueError(f"counts must be non-negative and not all 0, got {counts[first].tolist()} for peer {first}.")
    proportions: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return proportions


def _matrix(distances: FloatArray) -> FloatArray:
    """Return the distances of all pairs as a symmetric matrix. Distances that exceed 1 by rounding become 1."""
    matrix: FloatArray = squareform(np.minimum(distances, 1))
    return matrix
