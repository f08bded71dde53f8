"""The effect of the position: which of two peers is the student."""

from dataclasses import dataclass

import numpy as np

from peerkd.arrays import FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Position:
    """Gains of the pairs by position, as fractions."""

    as_student: FloatArray
    """(num_peers,) mean gain of each peer as a student, over its teachers."""

    as_teacher: FloatArray
    """(num_peers,) mean gain of the students of each peer. NaN for a peer that was never a teacher."""

    num_as_student: IntArray
    num_as_teacher: IntArray
    """(num_peers,) number of students in each mean of ``as_teacher``. In the same way, ``num_as_student`` has the
    number of teachers in each mean of ``as_student``."""

    difference: FloatArray
    """(num_peers, num_peers) gain of peer i (row) as the student of peer j (column), minus the gain of j as the student
    of i."""

    mean_absolute_difference: Estimate
    """Mean over unordered pairs of the absolute value of ``difference``."""

    noise: float
    """The value that ``mean_absolute_difference`` would have, approximately, from noise alone, if the position had no
    effect. NaN if it is unknown."""

    preferred_over_other: Estimate
    """Mean over unordered pairs: test gain with the positions that validation prefers, minus test gain with the
    positions exchanged."""


def position(test_gain_PP: FloatArray, validation_gain_PP: FloatArray, standard_error_PP: FloatArray) -> Position:
    """Return the effect of the position on test, and the value of choosing it on validation.

    The absolute difference of two noisy gains is above 0 even if the position has no effect; ``noise`` estimates this
    bias. ``preferred_over_other`` is not biased, because validation data choose the position and test data measure the
    difference. A pair without a preference on validation counts as 0.

    Args:
        test_gain_PP: (num_peers, num_peers) gain of student (row) from teacher (column), NaN on the diagonal.
        validation_gain_PP: The gain on validation, in the same form.
        standard_error_PP: Standard error of ``test_gain_PP``, NaN where it is unknown.
    """
    difference_PP = test_gain_PP - test_gain_PP.T
    preferred_over_other_PP = np.sign(validation_gain_PP - validation_gain_PP.T) * difference_PP
    # The variances of the two independent gains add up. The mean absolute value of a normal variable with mean 0 is
    # sqrt(2 / pi) standard deviations.
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
        preferred_over_other=_over_unordered_pairs(preferred_over_other_PP),
    )


def gain_standard_error(
    positive_flips_PP: FloatArray, negative_flips_PP: FloatArray, *, num_test_samples: int
) -> FloatArray:
    """Return the standard error of each gain on the global test set, from the samples whose prediction changed.

    Let ``n`` be the number of test samples. Let ``p`` be the share of samples that the student predicts rightly only
    after the training, and ``q`` the share that it predicts rightly only before. Then the standard error of the gain is
    ``sqrt((p + q - (p - q)^2) / n)``.

    Args:
        positive_flips_PP: ``p`` of each pair.
        negative_flips_PP: ``q`` of each pair.
        num_test_samples: ``n``.
    """
    gain_PP = positive_flips_PP - negative_flips_PP
    error_PP: FloatArray = np.sqrt((positive_flips_PP + negative_flips_PP - gain_PP**2) / num_test_samples)
    return error_PP


def _mean_known(values_PP: FloatArray, *, axis: int) -> FloatArray:
    """Return the mean of the entries that are not NaN, or NaN if no such entry exists."""
    is_known_PP = ~np.isnan(values_PP)
    sum_P, num_P = np.where(is_known_PP, values_PP, 0).sum(axis=axis), is_known_PP.sum(axis=axis)
    mean_P: FloatArray = np.divide(sum_P, num_P, out=np.full(len(num_P), np.nan), where=num_P > 0)
    return mean_P


def _over_unordered_pairs(symmetric_PP: FloatArray) -> Estimate:
    ordered = mean_over_pairs(symmetric_PP)
    return Estimate(ordered.value, ordered.low, ordered.high, ordered.num // 2)
