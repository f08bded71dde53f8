"""Comparisons of two trials of each pair on the test set, such as the chosen setting and the untuned default."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import scipy
from numpy.typing import NDArray

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.schema import CORRECT_BITS
from peerkd.results.selection import Candidates, ChosenRows, is_default_recipe

NUM_STANDARD_ERRORS: Final = 2.0
"""A setting wins for a pair if it is better by more than this number of paired standard errors."""

CHANCE_OF_A_WIN: Final = 0.023
"""The expected share of pairs that win by noise alone. It is the probability that a standard normal variable is above
``NUM_STANDARD_ERRORS``."""

_MAX_COMPARED_AT_ONCE: Final = 1000
"""The number of pairs whose ``test_correct_bits`` are unpacked at once, which limits memory."""


def at(table: pa.Table, column: str, rows_PP: IntArray) -> FloatArray:
    """Return the value of a column in one row of each pair, of shape (num_peers, num_peers).

    The result is NaN for a missing row or value.
    """
    values = table[column].cast(pa.float64()).to_numpy()
    return np.where(rows_PP == NO_ROW, np.nan, values[rows_PP])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairedDifference:
    """The comparison of two trials of each pair on the same test samples.

    Each field has the shape (num_peers, num_peers), with NaN for a pair that lacks one of the trials.
    """

    difference: FloatArray
    """Test accuracy of the first trial minus that of the second."""

    standard_error: FloatArray
    """Standard error of the difference, computed from the samples that only one of the two trials classifies
    correctly."""

    p_value: FloatArray
    """P-value of the exact two-sided test of McNemar (1947) that neither trial is better."""

    @property
    def is_win(self) -> BoolArray:
        """Whether the first trial of each pair is better by more than ``NUM_STANDARD_ERRORS`` standard errors."""
        wins: BoolArray = self.difference > NUM_STANDARD_ERRORS * self.standard_error
        return wins


def compare_on_test(
    table: pa.Table, first_PP: IntArray, second_PP: IntArray, *, num_test_samples: int
) -> PairedDifference:
    """Compare two trials of each pair on the global test set, sample by sample.

    Let ``n`` be the number of samples, ``b`` the number of samples on which only the first trial is right, and ``c``
    the number of samples on which only the second trial is right. Let ``d`` be 1 for each of the ``b`` samples, -1 for
    each of the ``c`` samples, and 0 for all other samples. The difference of the accuracies is the mean of ``d``, which
    is ``(b - c) / n``. The variance of ``d`` is ``E[d^2] - E[d]^2 = (b + c) / n - ((b - c) / n)^2``. The variance of
    the mean is the variance of ``d`` divided by ``n``, so the standard error is ``sqrt(b + c - (b - c)^2 / n) / n``.

    Raises:
        ValueError: If the number of bits of a row does not match ``num_test_samples``.
    """
    bits = table[CORRECT_BITS["test"]]
    has_bits = bits.is_valid().to_numpy()
    difference, standard_error, p_value = (np.full(first_PP.shape, np.nan) for _ in range(3))
    places = np.argwhere((first_PP != NO_ROW) & (second_PP != NO_ROW))
    places = places[has_bits[first_PP[tuple(places.T)]] & has_bits[second_PP[tuple(places.T)]]]
    for start in range(0, len(places), _MAX_COMPARED_AT_ONCE):
        part = tuple(places[start : start + _MAX_COMPARED_AT_ONCE].T)
        first, second = (_unpacked(bits, rows[part], num_samples=num_test_samples) for rows in (first_PP, second_PP))
        only_first, only_second = (first > second).sum(axis=1), (first < second).sum(axis=1)
        net = only_first - only_second
        difference[part] = net / num_test_samples
        variance = only_first + only_second - net**2 / num_test_samples
        standard_error[part] = np.sqrt(variance) / num_test_samples
        p_value[part] = mcnemar_p_values(only_first, only_second)
    return PairedDifference(difference=difference, standard_error=standard_error, p_value=p_value)


def mcnemar_p_values(only_first: IntArray, only_second: IntArray) -> FloatArray:
    """Return the exact two-sided p-values of the hypothesis that each trial is equally likely to win a disagreement.

    Under this hypothesis, the wins of one side among ``n`` disagreements are binomial with a probability of one half.
    Let ``m`` be the number of wins of the side that wins fewer. The p-value is the probability of all results that are
    at most as likely as the observed one, which are the results with at most ``m`` or at least ``n - m`` wins.

    Args:
        only_first: The number of samples on which only the first trial is right, for each comparison.
        only_second: The number of samples on which only the second trial is right.
    """
    total, fewer = only_first + only_second, np.minimum(only_first, only_second)
    p_values = scipy.stats.binom.cdf(fewer, total, 0.5) + scipy.stats.binom.sf(total - fewer - 1, total, 0.5)
    # If both sides win equally often, every result is at most as likely.
    return np.where(2 * fewer == total, 1.0, p_values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A ratio of gains, or the reason why it has no value."""

    value: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TuningComparison:
    """The chosen settings compared with the untuned default, on test. Gains are fractions, not points."""

    chosen: Estimate
    default: Estimate
    tuned_over_default: Estimate
    """Mean over pairs of the gain of the chosen setting minus the gain of the default."""

    ratio: Ratio
    """Mean gain of the chosen setting divided by the mean gain of the default."""

    share_not_default: Estimate
    """Share of pairs whose chosen setting differs from the untuned default in anything but the transfer set."""

    share_wins: Estimate
    """Share of pairs whose chosen setting is better than the default by more than ``NUM_STANDARD_ERRORS`` standard
    errors on the global test set."""

    paired: PairedDifference
    """The comparison of the chosen setting with the default on the global test set."""


def compare(
    table: pa.Table, trials: Candidates, choice: ChosenRows, *, scope: str, num_test_samples: int
) -> TuningComparison:
    """Compare the chosen setting and the default of each pair on the test set.

    Args:
        table: The table of trials.
        trials: The candidates from which ``choice`` was made.
        choice: The rows of each pair.
        scope: ``global`` or ``own``, the evaluation set of the gains.
        num_test_samples: Size of the global test set.
    """
    gain = f"test_{scope}_gain"
    chosen_PP, default_PP = at(table, gain, choice.chosen), at(table, gain, choice.default)
    chosen, default = mean_over_pairs(chosen_PP), mean_over_pairs(default_PP)
    paired = compare_on_test(table, choice.chosen, choice.default, num_test_samples=num_test_samples)
    is_away_PP = ~is_default_recipe(trials)[choice.chosen]
    return TuningComparison(
        chosen=chosen,
        default=default,
        tuned_over_default=mean_over_pairs(chosen_PP - default_PP),
        ratio=ratio_of_gains(chosen, default),
        share_not_default=mean_over_pairs(np.where(choice.chosen == NO_ROW, np.nan, is_away_PP)),
        share_wins=mean_over_pairs(np.where(np.isnan(paired.difference), np.nan, paired.is_win)),
        paired=paired,
    )


def ratio_of_gains(chosen: Estimate, default: Estimate) -> Ratio:
    """Return the gain of the chosen setting divided by the gain of the default, or the reason why there is no ratio.

    The ratio has a value only if the whole interval of the default's gain is above 0. A gain near 0 in the denominator
    can make the ratio arbitrarily large, and the ratio to a negative gain has no meaning.
    """
    if default.is_above_zero:
        return Ratio(value=chosen.value / default.value, reason=None)
    if np.isnan(default.low):
        return Ratio(value=None, reason="too few peers to distinguish the default's mean gain from 0")
    if default.is_below_zero:
        return Ratio(value=None, reason="the default's mean gain is negative")
    return Ratio(value=None, reason="the interval of the default's mean gain includes 0")


def _unpacked(bits: pa.ChunkedArray, rows: IntArray, *, num_samples: int) -> NDArray[np.uint8]:
    """Return 1 for each sample on which the trial of a row is right, else 0, of shape (len(rows), num_samples)."""
    num_bytes = -(-num_samples // 8)
    texts = bits.take(pa.array(rows)).to_pylist()
    for text in texts:
        if len(text) != num_bytes:
            raise ValueError(
                f"test_correct_bits must have {num_bytes} bytes for {num_samples} test samples, got {len(text)}."
            )
    packed = np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(texts), num_bytes)
    return np.unpackbits(packed, axis=1, count=num_samples)
