"""How different the peers' label distributions are, pair by pair."""

from collections.abc import Callable, Sequence

import numpy as np

from peerkd.data.partition.arrays import FloatArray, IntArray


def class_counts(labels: IntArray, parts: Sequence[IntArray], *, num_classes: int) -> IntArray:
    """Return how many samples of each class each peer holds: (num_peers, num_classes).

    Args:
        labels: (num_samples,) class of each sample, in ``range(num_classes)``.
        parts: One index array per peer.
        num_classes: Number of columns; a class that nobody holds counts 0.

    Raises:
        ValueError: If a label is out of range.
    """
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}.")
    return np.stack([np.bincount(labels[part], minlength=num_classes) for part in parts])


def jensen_shannon_distance(counts: IntArray) -> FloatArray:
    """Return ``sqrt((KL(p || m) + KL(q || m)) / 2)``, ``m = (p + q) / 2``, in base 2 for each pair of peers.

    The *distance*, the square root of the divergence, since only the root is
    a metric (Endres and Schindelin 2003). A class that neither peer holds
    adds nothing; peers with no class in common are at distance 1.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """

    def distance(p: FloatArray, q: FloatArray) -> FloatArray:
        mean = (p + q) / 2
        divergence = (_relative_entropy_bits(p, mean) + _relative_entropy_bits(q, mean)) / 2
        # Rounding can give a divergence of -1e-17, whose root is NaN.
        root: FloatArray = np.sqrt(np.maximum(divergence, 0))
        return root

    return _pairwise(counts, distance)


def hellinger_distance(counts: IntArray) -> FloatArray:
    """Return ``||sqrt(p) - sqrt(q)||_2 / sqrt(2)`` for each pair of peers.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """
    return _pairwise(counts, lambda p, q: np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=-1) / 2))


def earth_movers_distance(counts: IntArray) -> FloatArray:
    """Return ``||p - q||_1 / 2`` for each pair of peers.

    Classes have no order, so moving a sample from any class to any other
    costs 1. With this ground metric the cheapest transport moves exactly the
    mass that ``p`` has and ``q`` lacks: the earth mover's distance *is* the
    total variation distance. Zhao et al. 2018 (arXiv:1806.00582) leave out
    the half, so their values are twice these.

    Args:
        counts: (num_peers, num_classes) non-negative, no row all 0.

    Returns:
        (num_peers, num_peers) in [0, 1], symmetric, zero diagonal.

    Raises:
        ValueError: If a peer has no samples or a count is negative.
    """
    return _pairwise(counts, lambda p, q: np.abs(p - q).sum(axis=-1) / 2)


def _relative_entropy_bits(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return ``KL(p || q)`` in bits over the last axis, where ``q > 0`` wherever ``p > 0``."""
    ratio = np.divide(p, q, out=np.ones_like(q), where=p > 0)
    entropy: FloatArray = (p * np.log2(ratio)).sum(axis=-1)
    return entropy


def _pairwise(counts: IntArray, distance: Callable[[FloatArray, FloatArray], FloatArray]) -> FloatArray:
    """Return the matrix of ``distance`` between the rows of ``counts`` as proportions.

    One row against all later ones at a time: all pairs at once would need
    ``num_peers`` times the memory of ``counts``.
    """
    if counts.ndim != 2:
        raise ValueError(f"counts must be a matrix (num_peers, num_classes), got shape {counts.shape}.")
    is_wrong = (counts < 0).any(axis=1) | ~counts.any(axis=1)
    if is_wrong.any():
        first = is_wrong.argmax()
        raise ValueError(f"counts must be non-negative and not all 0, got {counts[first].tolist()} for peer {first}.")
    proportions = counts / counts.sum(axis=1, keepdims=True)
    distances = np.zeros((len(counts), len(counts)))
    for peer in range(len(counts) - 1):
        to_later = np.minimum(distance(proportions[peer], proportions[peer + 1 :]), 1)
        distances[peer, peer + 1 :] = to_later
        distances[peer + 1 :, peer] = to_later
    return distances
