"""The tables of the teacher's part, in percentage points with intervals over seeds."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import scipy

from benchmarks.markdown import table
from benchmarks.teacher_part.measure import Combination, Gains
from peerkd.results.intervals import Estimate

_COVERAGE = 0.95

HEADER = (
    *("Transfer set", "Loss", "Target", "Gain without a teacher", "Gain, tuned", "Teacher's part, tuned"),
    *("Above noise", "Gain, T = 1, weight 0.5", "Teacher's part, T = 1, weight 0.5"),
)


def mean_over_seeds(values: Sequence[float]) -> Estimate:
    """Return the mean of values of different seeds with its 95 % interval of Student's t distribution."""
    mean, num = float(np.mean(values)), len(values)
    if num < 2:
        return Estimate(mean, np.nan, np.nan, num)
    half = scipy.stats.t.ppf((1 + _COVERAGE) / 2, num - 1) * float(np.std(values, ddof=1)) / num**0.5
    return Estimate(mean, mean - half, mean + half, num)


def rows(by_seed: Sequence[Mapping[Combination, Gains]], combinations: Iterable[Combination]) -> list[list[str]]:
    """Return a row of the table for each combination.

    Args:
        by_seed: The gains of each seed. All seeds have the same combinations.
        combinations: The combinations to show.
    """
    return [_row(combination, [gains[combination] for gains in by_seed]) for combination in combinations]


def document(by_seed: Sequence[Mapping[Combination, Gains]], *, loss: str, target: str) -> str:
    """Return three tables: all targets with one loss, all losses with one target, and the ten best combinations.

    Args:
        by_seed: The gains of each seed. All seeds have the same combinations.
        loss: The loss of the first table.
        target: The target of the second table.
    """
    everything = list(by_seed[0])
    slices = {
        f"Targets, with the loss {loss}": [each for each in everything if each.loss == loss],
        f"Losses, with the target {target}": [each for each in everything if each.target == target],
        "The ten combinations with the highest teacher's part": sorted(
            everything, key=lambda each: -np.mean([gains[each].tuned_part for gains in by_seed])
        )[:10],
    }
    return "\n\n".join(f"## {title}\n\n{table(HEADER, rows(by_seed, shown))}" for title, shown in slices.items())


def _row(combination: Combination, seeds: Sequence[Gains]) -> list[str]:
    def estimate(value: Callable[[Gains], float]) -> Estimate:
        return mean_over_seeds([value(gains) for gains in seeds])

    part = estimate(lambda gains: gains.tuned_part)
    verdict = "yes" if part.is_above_zero else "below" if part.is_below_zero else "no"
    return [
        *combination,
        points(estimate(lambda gains: gains.baseline)),
        points(estimate(lambda gains: gains.tuned)),
        points(part),
        verdict if part.has_interval else "unknown",
        points(estimate(lambda gains: gains.untuned)),
        points(estimate(lambda gains: gains.untuned_part)),
    ]


def points(estimate: Estimate) -> str:
    """Return a difference of accuracies in percentage points, with its interval if it has one."""
    value = f"{100 * estimate.value:+.2f}"
    return f"{value} ({100 * estimate.low:+.2f} to {100 * estimate.high:+.2f})" if estimate.has_interval else value
