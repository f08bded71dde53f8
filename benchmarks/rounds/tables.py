"""The tables of the methods of rounds, with intervals over seeds. Differences between methods are paired by seed.

The runs of all methods with one seed have the same data, partition and pre-trained peers, so that the difference of two
methods varies less between seeds than the accuracy of each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from benchmarks.markdown import table
from peerkd.reporting.rounds.findings import MethodRounds
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import mean_with_interval, paired_difference
from peerkd.rounds import ROUND_METHODS
from peerkd.wording import format_bytes

Cells: TypeAlias = dict[int, Mapping[str, MethodRounds]]
"""The rounds of each method by seed. All seeds have the same methods."""

_SHOWN_ROUNDS: Final = (1, 2, 5)
"""The rounds that the table shows besides the last one."""

_Value: TypeAlias = Callable[[MethodRounds], float]


def section(title: str, cells: Cells) -> str:
    """Return the tables of one skew: accuracies, own accuracies by round, and differences from the first method."""
    methods = list(next(iter(cells.values())))
    parts = [
        f"## {title}",
        "Accuracy on the common test samples:",
        accuracies(cells, methods),
        "Accuracy on test samples with the peers' own class distributions:",
        own_accuracies(cells, methods),
    ]
    if len(methods) > 1:
        first = ROUND_METHODS[methods[0]].title
        parts += [
            f"After the last round, in points relative to {first}, paired by seed:",
            differences(cells, methods),
        ]
    return "\n\n".join(parts)


def accuracies(cells: Cells, methods: Sequence[str]) -> str:
    """Return the table of mean and worst accuracies, bytes and samples."""
    shown = _shown_rounds(cells)
    header = ("Method", "Before", *(f"Round {round}" for round in shown), "Worst peer before", "Worst peer after")
    rows = [
        [
            ROUND_METHODS[method].title,
            _percent(cells, method, lambda each: each.mean_by_round[0]),
            *(_percent(cells, method, lambda each, at=round: each.mean_by_round[at]) for round in shown),
            _percent(cells, method, lambda each: each.worst_by_round[0]),
            _percent(cells, method, lambda each: each.worst_by_round[-1]),
            _num_seeds(cells, method, lambda each: each.worst_by_round[-1] > each.worst_by_round[0]),
            format_bytes(round(_mean(cells, method, lambda each: each.sent_bytes_by_round[-1]))),
            f"{_mean(cells, method, lambda each: each.num_samples_RP.sum(axis=0).mean()):,.0f}",
        ]
        for method in methods
    ]
    return table((*header, "Worst peer gains", "Sent by a peer", "Samples of a peer"), rows)


def own_accuracies(cells: Cells, methods: Sequence[str]) -> str:
    """Return the table of accuracies on the peers' own test samples by round."""
    shown = (0, *_shown_rounds(cells))
    rows = [
        [
            ROUND_METHODS[method].title,
            *(_percent(cells, method, lambda each, at=round: each.own_mean_by_round[at]) for round in shown),
            f"{_mean(cells, method, lambda each: each.num_losers):.1f}",
        ]
        for method in methods
    ]
    return table(("Method", *("Before" if not at else f"Round {at}" for at in shown), "Peers that lose"), rows)


def differences(cells: Cells, methods: Sequence[str]) -> str:
    """Return the table of differences from the first method after the last round."""
    first, *others = methods
    values: Iterable[_Value] = (
        lambda each: each.mean_by_round[-1],
        lambda each: each.worst_by_round[-1],
        lambda each: each.own_mean_by_round[-1],
    )
    sent = {method: _mean(cells, method, lambda each: each.sent_bytes_by_round[-1]) for method in methods}
    columns = [[_points(_difference(cells, other, first, value)) for other in others] for value in values]
    rows = [
        [ROUND_METHODS[other].title, *of_other, f"{sent[other] / sent[first]:.2f}" if sent[first] else "none"]
        for other, *of_other in zip(others, *columns, strict=True)
    ]
    return table(("Method", "Mean", "Worst peer", "Own", "Bytes sent, ratio"), rows)


def _shown_rounds(cells: Cells) -> list[int]:
    num_rounds = len(next(iter(next(iter(cells.values())).values())).mean_by_round) - 1
    return [*(each for each in _SHOWN_ROUNDS if each < num_rounds), num_rounds]


def _values(cells: Cells, method: str, value: _Value) -> dict[int, float]:
    return {seed: float(value(found[method])) for seed, found in cells.items()}


def _mean(cells: Cells, method: str, value: _Value) -> float:
    return mean_with_interval([*_values(cells, method, value).values()]).value


def _num_seeds(cells: Cells, method: str, holds: Callable[[MethodRounds], bool]) -> str:
    return f"{sum(map(bool, _values(cells, method, holds).values()))} of {len(cells)} seeds"


def _percent(cells: Cells, method: str, value: _Value) -> str:
    estimate = mean_with_interval([*_values(cells, method, value).values()])
    text = f"{100 * estimate.value:.1f}"
    return f"{text} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})" if estimate.has_interval else text


def _difference(cells: Cells, method: str, first: str, value: _Value) -> Estimate:
    return paired_difference(_values(cells, method, value), _values(cells, first, value))


def _points(estimate: Estimate) -> str:
    text = f"{100 * estimate.value:+.1f}"
    return f"{text} ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})" if estimate.has_interval else text
