"""What the pairs' chosen rows say about the test set: matrices of pairs and paired comparisons."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from peerkd.results.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.selection import NO_ROW, Candidates, Choice, is_default_recipe

NUM_STANDARD_ERRORS: Final = 2.0
"""By how many paired standard errors a pair must win to be said to win."""

CHANCE_OF_A_WIN: Final = 0.023
"""Share of pairs that would win so by noise alone, for a normal difference."""


def at(table: pa.Table, column: str, rows_PP: IntArray) -> FloatArray:
    """Return a column's values at the rows of each pair: (num_peers, num_peers), NaN where there is no value."""
    values = table[column].cast(pa.float64()).to_numpy()
    return np.where(rows_PP == NO_ROW, np.nan, values[rows_PP])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PairedDifference:
    """Two trials of each pair on the same test samples: (num_peers, num_peers), NaN where a trial is missing."""

    difference: FloatArray
    """Test accuracy of the first minus that of the second."""

    standard_error: FloatArray
    """Of the difference, from the samples on which the two disagree."""

    p_value: FloatArray
    """Of the exact two-sided test of McNemar (1947) that neither is better."""

    @property
    def is_win(self) -> BoolArray:
        """Whether the first is better by more than ``NUM_STANDARD_ERRORS``."""
        wins: BoolArray = self.difference > NUM_STANDARD_ERRORS * self.standard_error
        return wins


def compare_on_test(
    table: pa.Table, first_PP: IntArray, second_PP: IntArray, *, num_test_samples: int
) -> PairedDifference:
    """Compare two rows of each pair on the global test set, sample by sample.

    With ``b`` samples that only the first has right, ``c`` only the second, and ``n`` in all, the difference is
    ``(b - c) / n`` and its standard error ``sqrt(b + c - (b - c)^2 / n) / n``.

    Raises:
        ValueError: If the bits of a row are not as many as ``num_test_samples`` needs.
    """
    bits = table["test_correct_bits"]
    shape = first_PP.shape
    difference, standard_error, p_value = (np.full(shape, np.nan) for _ in range(3))
    for pair in np.argwhere((first_PP != NO_ROW) & (second_PP != NO_ROW)):
        place = tuple(pair)
        first, second = (bits[int(rows[place])].as_py() for rows in (first_PP, second_PP))
        if first is None or second is None:
            continue
        only_first, only_second = _disagreements(first, second, num_samples=num_test_samples)
        net = only_first - only_second
        difference[place] = net / num_test_samples
        variance = only_first + only_second - net**2 / num_test_samples
        standard_error[place] = math.sqrt(variance) / num_test_samples
        p_value[place] = mcnemar_p_value(only_first, only_second)
    return PairedDifference(difference=difference, standard_error=standard_error, p_value=p_value)


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that of ``only_first + only_second`` disagreements each side wins half."""
    total, fewer = only_first + only_second, min(only_first, only_second)
    log_terms = [
        math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1) - total * math.log(2)
        for count in range(fewer + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, log_terms)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A ratio, or in words why there is none."""

    value: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Comparison:
    """What choosing brought over the untuned default, on test. Gains are fractions, not points."""

    chosen: Estimate
    default: Estimate
    tuned_over_default: Estimate
    """Mean over pairs of the chosen setting's gain minus the default's."""

    ratio: Ratio
    """Mean gain of the chosen setting over mean gain of the default."""

    share_away: Estimate
    """Share of pairs whose chosen temperature, weight or learning rate is not the default's, on whatever set."""

    share_wins: Estimate
    """Share of pairs whose chosen setting beats the default by more than ``NUM_STANDARD_ERRORS`` on global test."""

    paired: PairedDifference
    """Chosen against default on the global test set."""


def compare(table: pa.Table, trials: Candidates, choice: Choice, *, scope: str, num_test_samples: int) -> Comparison:
    """Compare chosen setting and default of each pair on the test set.

    Args:
        table: The table of trials.
        trials: Its candidates, by which ``choice`` was made.
        choice: The rows of each pair.
        scope: ``global`` or ``own``: the evaluation set of the gains.
        num_test_samples: Size of the global test set.
    """
    gain = f"test_{scope}_gain"
    chosen_PP, default_PP = at(table, gain, choice.chosen), at(table, gain, choice.default)
    chosen, default = mean_over_pairs(chosen_PP), mean_over_pairs(default_PP)
    paired = compare_on_test(table, choice.chosen, choice.default, num_test_samples=num_test_samples)
    is_away_PP = ~is_default_recipe(trials)[choice.chosen]
    return Comparison(
        chosen=chosen,
        default=default,
        tuned_over_default=mean_over_pairs(chosen_PP - default_PP),
        ratio=ratio_of_gains(chosen, default),
        share_away=mean_over_pairs(np.where(choice.chosen == NO_ROW, np.nan, is_away_PP)),
        share_wins=mean_over_pairs(np.where(np.isnan(paired.difference), np.nan, paired.is_win)),
        paired=paired,
    )


def ratio_of_gains(chosen: Estimate, default: Estimate) -> Ratio:
    """Return how many times the default's gain the chosen gain is, unless the default's may be 0 or a loss.

    A ratio to a gain near 0 can be made as large as one likes, and one to a loss has no meaning.
    """
    if default.is_above_zero:
        return Ratio(value=chosen.value / default.value, reason=None)
    if np.isnan(default.low):
        return Ratio(value=None, reason="too few peers to tell the default's mean gain from 0")
    if default.is_below_zero:
        return Ratio(value=None, reason="the default's mean gain is a loss")
    return Ratio(value=None, reason="the default's mean gain is not above noise: its interval includes 0")


def _disagreements(first: bytes, second: bytes, *, num_samples: int) -> tuple[int, int]:
    """Return how many samples only the first, and only the second, has right."""
    num_bytes = -(-num_samples // 8)
    if len(first) != num_bytes or len(second) != num_bytes:
        raise ValueError(
            f"test_correct_bits must have {num_bytes} bytes for {num_samples} test samples, "
            f"got {len(first)} and {len(second)}."
        )
    first_bits, second_bits = (
        np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=num_samples) for bits in (first, second)
    )
    return int((first_bits > second_bits).sum()), int((first_bits < second_bits).sum())
