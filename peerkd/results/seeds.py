"""What several seeds say of one number: its spread, and how sure a mean difference is.

Runs of two methods from one seed share the data and what else follows from the seed, so their difference is taken
seed by seed. An interval is Student's (1908): it says what other seeds might give on the same data, not other data.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import stdtrit

from peerkd.results.intervals import Estimate

Verdict: TypeAlias = Literal["above", "below", "not told apart"]

MIN_SEEDS: Final = 2
"""With one there is no spread, so no interval."""

_COVERAGE: Final = 0.95
_SAME: Final = 1e-12
"""Differences closer than this are one number with different rounding."""


class Spread(NamedTuple):
    """Mean and standard deviation (n - 1) over seeds; NaN where there are too few for one."""

    mean: float
    standard_deviation: float
    num: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of one number by seed."""
    num = len(values)
    return Spread(
        mean=float(np.mean(values)) if num else math.nan,
        standard_deviation=float(np.std(values, ddof=1)) if num >= MIN_SEEDS else math.nan,
        num=num,
    )


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate:
    """Return the mean over the seeds that both have of first minus second, with its 95 % t interval.

    There is no interval for fewer than two seeds, nor where all differ by the same: that few equal numbers have no
    spread says nothing about the next.
    """
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    mean, deviation, num = spread(differences)
    if num < MIN_SEEDS or deviation < _SAME:
        return Estimate(mean, math.nan, math.nan, num)
    half_width = float(stdtrit(num - 1, (1 + _COVERAGE) / 2)) * deviation / math.sqrt(num)
    return Estimate(mean, mean - half_width, mean + half_width, num)


def verdict(difference: Estimate) -> Verdict:
    """Say on which side of 0 the whole interval is; without an interval, nothing is told apart."""
    if difference.is_above_zero:
        return "above"
    return "below" if difference.is_below_zero else "not told apart"
