"""Splits and subsets of a data set with given class proportions."""

from collections.abc import Sequence

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.partition.apportion import largest_remainder, lift_to_one
from peerkd.data.partition.checks import check_labels
from peerkd.data.partition.deal import deal_classes
from peerkd.data.partition.margins import round_to_margins


def split_stratified(labels: IntArray, *, fractions: Sequence[float], rng: np.random.Generator) -> list[IntArray]:
    """Return one part of the samples per fraction, and the rest, each with the class proportions of the whole.

    The rest counts as a part. The size of each part is its fraction of all samples, rounded as in
    ``largest_remainder``. The sizes are fixed first, and the numbers of samples of each class are then rounded to fit
    the sizes. If each class were rounded separately, the same one of two equal parts could get the additional sample in
    every class. A class with at least as many samples as there are parts appears in every part: a missing sample is
    taken from the part with the most samples of the class. Only this step can change the size of a part.

    Args:
        labels: (num_samples,) class of each sample.
        fractions: Fraction of each part, each above 0, with a sum below 1.
        rng: Generator that assigns the samples of each class to parts.

    Returns:
        ``len(fractions) + 1`` ascending index arrays, the rest first; disjoint and complete.

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

    With the class counts of a peer's training set, the subset has the class
    distribution of the peer as far as the evaluation set allows. The class
    that runs out first determines the size. The number of samples of each
    other class is rounded half up, so a class whose share is less than half a
    sample is absent. A class without an evaluation sample is absent as well.

    Args:
        labels: (num_samples,) class of each evaluation sample, in ``range(num_classes)``.
        class_counts: (num_classes,) wanted proportions, non-negative, not all 0.
        rng: Generator that chooses the samples of each class.

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
    present = np.flatnonzero(class_counts)
    if not present.size:
        raise ValueError("labels must have samples of some class in class_counts, got none.")
    scarcest = present[np.argmin(available[present] / class_counts[present])]
    # The share of class k is available[scarcest] * class_counts[k] / class_counts[scarcest]. It is rounded half up as
    # floor((2 * numerator + denominator) / (2 * denominator)) in whole numbers, so that exact halves do not depend on
    # floating-point error.
    taken = (2 * available[scarcest] * class_counts + class_counts[scarcest]) // (2 * class_counts[scarcest])
    return deal_classes(labels, np.stack([taken, available - taken]), rng=rng)[0]


def stratified_sample(labels: IntArray, *, num_samples: int, rng: np.random.Generator) -> IntArray:
    """Return a subset of the given size with the class proportions of the whole.

    The number of samples of each class differs from its exact share by less
    than one (largest remainder).

    Args:
        labels: (num_candidates,) class of each sample that can be chosen.
        num_samples: Size of the subset, from 1 to ``len(labels)``.
        rng: Generator that chooses the samples of each class.

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
