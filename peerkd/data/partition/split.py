"""Hold-outs and evaluation sets with the class proportions they should have."""

from collections.abc import Sequence

import numpy as np

from peerkd.data.partition.apportion import largest_remainder, lift_to_one
from peerkd.data.partition.arrays import IntArray
from peerkd.data.partition.checks import check_labels
from peerkd.data.partition.deal import deal_classes
from peerkd.data.partition.margins import round_to_margins


def split_stratified(labels: IntArray, *, fractions: Sequence[float], rng: np.random.Generator) -> list[IntArray]:
    """Return the remainder and one part per fraction, each with the class proportions of the whole.

    The size of each part is its fraction of all samples by largest remainder,
    not the sum of one rounding per class: that would favour one part over an
    equal one in every class at once. Each class is shared to the whole sample.
    A class with at least as many samples as there are parts is then made to
    appear in every part, at the expense of the part with most of it; only
    this can change the size of a part.

    Args:
        labels: (num_samples,) class of each sample.
        fractions: Each above 0, with a sum below 1.
        rng: Decides which samples of a class go where.

    Returns:
        ``len(fractions) + 1`` ascending index arrays, the remainder first; disjoint and complete.

    Raises:
        ValueError: If ``labels`` is malformed or a fraction is out of range.
    """
    check_labels(labels)
    if not all(fraction > 0 for fraction in fractions) or not sum(fractions) < 1:
        raise ValueError(f"fractions must each be above 0 and sum to less than 1, got {list(fractions)}.")
    _, classes, class_totals = np.unique(labels, return_inverse=True, return_counts=True)
    shares = np.array([1 - sum(fractions), *fractions])
    counts = round_to_margins(
        np.outer(shares, class_totals),
        row_sums=largest_remainder(len(labels), shares),
        column_sums=class_totals,
    )
    for k in np.flatnonzero(class_totals >= len(shares)):
        counts[:, k] = lift_to_one(counts[:, k])
    return deal_classes(classes, counts, rng=rng)


def matched_subset(labels: IntArray, *, class_counts: IntArray, rng: np.random.Generator) -> IntArray:
    """Return the largest subset of an evaluation set with the class proportions of ``class_counts``.

    With the class counts of a peer's training part this is the peer's own
    distribution as far as an evaluation set can show it. The class that runs
    out first sets the size; the others are rounded half up, so a class that
    is due less than half a sample is absent. A class without an evaluation
    sample is absent too: nothing can be shown of it.

    Args:
        labels: (num_samples,) class of each evaluation sample, in ``range(num_classes)``.
        class_counts: (num_classes,) non-negative, not all 0.
        rng: Decides which samples of a class are taken.

    Returns:
        Ascending indices into ``labels``.

    Raises:
        ValueError: If an argument is malformed, or no class with a positive
            count has an evaluation sample.
    """
    check_labels(labels)
    num_classes = len(class_counts)
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {labels.min()} to {labels.max()}.")
    if class_counts.min() < 0 or not class_counts.any():
        raise ValueError(f"class_counts must be non-negative and not all 0, got {class_counts.tolist()}.")
    available = np.bincount(labels, minlength=num_classes)
    class_counts = np.where(available > 0, class_counts, 0)
    held = np.flatnonzero(class_counts)
    if not held.size:
        raise ValueError("labels must have samples of some class in class_counts, got none.")
    scarcest = held[np.argmin(available[held] / class_counts[held])]
    # Whole numbers only: a share of exactly one half must not depend on floating point.
    taken = (2 * available[scarcest] * class_counts + class_counts[scarcest]) // (2 * class_counts[scarcest])
    return deal_classes(labels, np.stack([taken, available - taken]), rng=rng)[0]


def stratified_sample(labels: IntArray, *, num_samples: int, rng: np.random.Generator) -> IntArray:
    """Return a subset of the given size with the class proportions of the whole.

    Each class is within one sample of its share (largest remainder).

    Args:
        labels: Class of each sample to choose from.
        num_samples: Size of the subset, from 1 to ``len(labels)``.
        rng: Decides which samples of a class are taken.

    Returns:
        (num_samples,) ascending indices into ``labels``.

    Raises:
        ValueError: If ``labels`` is malformed or ``num_samples`` is out of range.
    """
    check_labels(labels)
    if not 1 <= num_samples <= len(labels):
        raise ValueError(f"num_samples must be from 1 to {len(labels)}, the number of samples, got {num_samples}.")
    _, classes, class_totals = np.unique(labels, return_inverse=True, return_counts=True)
    taken = largest_remainder(num_samples, class_totals)
    return deal_classes(classes, np.stack([taken, class_totals - taken]), rng=rng)[0]
