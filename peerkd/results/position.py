"""What it matters which of two peers is the student."""

from dataclasses import dataclass

import numpy as np

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Position:
    """Gains of the pairs by who is the student. All are fractions, not points."""

    as_student: FloatArray
    """(num_peers,) mean over the others of the gain of the peer when it is taught by them."""

    as_teacher: FloatArray
    """(num_peers,) mean over the others of their gain when the peer teaches them. NaN for a peer that taught none."""

    num_as_student: IntArray
    num_as_teacher: IntArray
    """(num_peers,) the number of others that each mean is over."""

    difference: FloatArray
    """(num_peers, num_peers) gain of the row as student of the column, minus the other way round."""

    mean_absolute_difference: Estimate
    """Over unordered pairs."""

    noise: float
    """What the mean absolute difference would be about if no position mattered; NaN where that is not known."""

    right_over_wrong: Estimate
    """Mean over unordered pairs, on test, of the gain in the position that validation prefers minus the other's."""


def position(test_gain_PP: FloatArray, validation_gain_PP: FloatArray, standard_error_PP: FloatArray) -> Position:
    """Return what the position matters on test, and what choosing it on validation is worth.

    The absolute difference of two noisy gains is above 0 even where no position matters; the noise says by how
    much, the position chosen on validation is free of it. Where validation prefers neither, none is right.

    Args:
        test_gain_PP: (num_peers, num_peers) gain of student (row) from teacher (column), NaN on the diagonal.
        validation_gain_PP: The same on validation.
        standard_error_PP: Of ``test_gain_PP``, NaN where not known.
    """
    difference_PP = test_gain_PP - test_gain_PP.T
    right_over_wrong_PP = np.sign(validation_gain_PP - validation_gain_PP.T) * difference_PP
    # For a normal difference, the mean absolute value is sqrt(2 / pi) standard deviations.
    noise_PP = np.sqrt(2 / np.pi) * np.hypot(standard_error_PP, standard_error_PP.T)
    is_pair_PP = ~np.isnan(difference_PP)
    return Position(
        as_student=_mean_known(test_gain_PP, axis=1),
        as_teacher=_mean_known(test_gain_PP, axis=0),
        num_as_student=(~np.isnan(test_gain_PP)).sum(axis=1),
        num_as_teacher=(~np.isnan(test_gain_PP)).sum(axis=0),
        difference=difference_PP,
        mean_absolute_difference=_over_unordered_pairs(np.abs(difference_PP)),
        noise=float(noise_PP[is_pair_PP].mean()) if is_pair_PP.any() else np.nan,
        right_over_wrong=_over_unordered_pairs(right_over_wrong_PP),
    )


def gain_standard_error(
    positive_flips_PP: FloatArray, negative_flips_PP: FloatArray, *, num_test_samples: int
) -> FloatArray:
    """Return the standard error of each gain on the global test set, from the samples that changed.

    With shares ``p`` and ``q`` of samples that became right and wrong it is ``sqrt((p + q - (p - q)^2) / n)``.
    """
    gain_PP = positive_flips_PP - negative_flips_PP
    error_PP: FloatArray = np.sqrt((positive_flips_PP + negative_flips_PP - gain_PP**2) / num_test_samples)
    return error_PP


def _mean_known(values_PP: FloatArray, *, axis: int) -> FloatArray:
    """Return the mean of the entries that are not NaN, or NaN where all are."""
    is_known_PP = ~np.isnan(values_PP)
    sum_P, num_P = np.where(is_known_PP, values_PP, 0).sum(axis=axis), is_known_PP.sum(axis=axis)
    mean_P: FloatArray = np.divide(sum_P, num_P, out=np.full(len(num_P), np.nan), where=num_P > 0)
    return mean_P


def _over_unordered_pairs(symmetric_PP: FloatArray) -> Estimate:
    ordered = mean_over_pairs(symmetric_PP)
    return Estimate(ordered.value, ordered.low, ordered.high, ordered.num // 2)
