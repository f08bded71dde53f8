"""Statistics over seeds: the spread of a number, and the interval of a mean difference.

Runs of two methods with one seed share the data and everything else that follows from the seed, so differences are
paired by seed. Intervals are t intervals (Student 1908). They cover other seeds on the same data, but not other data.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import stdtrit

from peerkd.results.intervals import Estimate

Verdict: TypeAlias = Literal["above", "below", "undecided"]

MIN_SEEDS: Final = 2
"""The smallest number of seeds for which a standard deviation, and so an interval, can be computed."""

_COVERAGE: Final = 0.95
_SAME: Final = 1e-12
"""A standard deviation below this comes from rounding alone."""


class Spread(NamedTuple):
    """Mean and standard deviation (n - 1) over seeds. A number is NaN if too few seeds exist for it."""

    mean: float
    standard_deviation: float
    num: int


def spread(values: Sequence[float]) -> Spread:
    """Return mean and standard deviation of a number with one value for each seed."""
    num = len(values)
    return Spread(
        mean=float(np.mean(values)) if num else math.nan,
        standard_deviation=float(np.std(values, ddof=1)) if num >= MIN_SEEDS else math.nan,
        num=num,
    )


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate:
    """Return the mean of ``first`` minus ``second`` over their common seeds, with its 95 % t interval.

    The estimate has no interval if fewer than two seeds exist, or if the difference is the same for all seeds: a few
    equal differences do not imply that the next one is equal too.
    """
    return mean_with_interval([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])


def mean_with_interval(values: Sequence[float]) -> Estimate:
    """Return the mean of independent values, such as one for each seed, with its 95 % t interval.

    The estimate has no interval if fewer than two values exist, or if all values are equal: a few equal values do not
    imply that the next one is equal too.
    """
    mean, deviation, num = spread(values)
    if num < MIN_SEEDS or deviation < _SAME:
        return Estimate(mean, math.nan, math.nan, num)
    # Student's t interval for n values d with standard deviation s: mean(d) +- t_(n-1, 0.975) s / sqrt(n).
    half_width = float(stdtrit(num - 1, (1 + _COVERAGE) / 2)) * deviation / math.sqrt(num)
    return Estimate(mean, mean - half_width, mean + half_width, num)


def verdict(difference: Estimate) -> Verdict:
    """Return the side of 0 on which the whole interval lies: ``above`` or ``below``.

    The result is ``undecided`` if the interval contains 0 or does not exist.
    """
    if difference.is_above_zero:
        return "above"
    return "below" if difference.is_below_zero else "undecided"
