"""Checks of partitions and of the arguments of partitioners."""

from collections.abc import Sequence

import numpy as np

from peerkd.arrays import IntArray


def check_partition(parts: Sequence[IntArray], *, num_samples: int) -> None:
    """Check that the parts contain every index in ``range(num_samples)`` exactly once.

    Args:
        parts: One index array per peer.
        num_samples: Number of samples in the partition, at least 0.

    Raises:
        ValueError: If an index is out of range, in several parts or in no part.
    """
    indices = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
    outside = indices[(indices < 0) | (indices >= num_samples)]
    if outside.size:
        raise ValueError(f"parts must contain indices from 0 to {num_samples - 1}, got {outside[0]}.")
    num_parts = np.bincount(indices, minlength=num_samples)
    repeated = np.flatnonzero(num_parts > 1)
    if repeated.size:
        raise ValueError(
            f"parts must be disjoint, got {repeated.size} indices more than once, the first {repeated[0]}."
        )
    missing = np.flatnonzero(num_parts == 0)
    if missing.size:
        raise ValueError(f"parts must be complete, got {missing.size} indices in no part, the first {missing[0]}.")


def check_labels(labels: IntArray) -> None:
    """Check that ``labels`` is a non-empty vector of whole numbers.

    Args:
        labels: Class of each sample.

    Raises:
        ValueError: If ``labels`` is empty, is not a vector or does not contain whole numbers.
    """
    if labels.ndim != 1 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be a non-empty vector of integers, got shape {labels.shape} and type {labels.dtype}."
        )


def check_sizes(sizes: IntArray, *, num_samples: int) -> None:
    """Check that ``sizes`` contains whole numbers of at least 1 that sum to ``num_samples``.

    Args:
        sizes: (num_peers,) requested number of samples of each peer.
        num_samples: Number of samples to divide.

    Raises:
        ValueError: If the sizes break one of these rules.
    """
    if sizes.ndim != 1 or sizes.size == 0 or not np.issubdtype(sizes.dtype, np.integer):
        raise ValueError(
            f"sizes must be a non-empty vector of integers, got shape {sizes.shape} and type {sizes.dtype}."
        )
    if sizes.min() < 1:
        raise ValueError(f"sizes must each be at least 1, got {sizes.min()} for peer {sizes.argmin()}.")
    if sizes.sum() != num_samples:
        raise ValueError(f"sizes must sum to the {num_samples} samples, got {sizes.sum()}.")


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Check that ``value`` is at least ``minimum``.

    Args:
        name: Name of the argument, for the message.
        value: Value of the argument.
        minimum: Smallest valid value.

    Raises:
        ValueError: If the value is smaller.
    """
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}.")


def check_concentration(concentration: float) -> None:
    """Check that ``concentration`` is from 1e-6 to 1e9.

    More extreme values give practically the same draws, but may overflow or underflow.

    Args:
        concentration: Parameter of a Dirichlet distribution.

    Raises:
        ValueError: If the value is out of range or NaN.
    """
    if not 1e-6 <= concentration <= 1e9:
        raise ValueError(f"concentration must be from 1e-6 to 1e9, got {concentration}.")
