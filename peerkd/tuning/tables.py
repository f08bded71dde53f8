"""The standings of tuners as a table for people and as a file of numbers."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from peerkd.results.intervals import Estimate
from peerkd.tuning.contest import ALL, Standing
from peerkd.tuning.scoring import Reference

CONVENTIONS: Final = (
    "Tuners choose on validation; every number is of those choices on test, as a mean over all ordered pairs. A pair "
    "left as it is gains 0. Recovered: how far from the best single setting (0 %) to the full sweep's choice for each "
    "pair (100 %), both chosen on validation; a dash where that is no better. Regret: the full sweep's gain minus "
    "this. Budget and cost: shares of what the full sweep costs, controls apart, in samples trained on; a sample that "
    "goes forward only counts a third. A tuner's measurements, its teachers' logits and its features are counted."
)

_COLUMNS: Final = (
    "tuner",
    "budget",
    "recovered, %",
    "gain, points",
    "regret, points",
    "cost, %",
    "pairs tried",
    "trials",
    "tuner, s",
)


def markdown(
    standings: Sequence[Standing], references: Mapping[str, Reference], *, metric: str, num_priors: int
) -> str:
    """Return conventions, references and one table: of the one experiment, or of all together where there are more."""
    shown = [each for each in standings if each.experiment == ALL] or list(standings)
    lines = [
        f"# Tuners, by gain of {metric.replace('_', ' ')}",
        "",
        CONVENTIONS,
        "",
        _means_of(shown, references),
        f"Prior tables that tuners may start from, never the one that is replayed: {num_priors}."
        if num_priors
        else "No prior tables: peerkd starts from the experience that comes with it, the others from nothing.",
        "",
        *(_reference_line(name, known) for name, known in references.items()),
        "",
        _row(_COLUMNS),
        _row(("---", *("---:" for _ in _COLUMNS[1:]))),
        *(_row(_cells(each)) for each in shown),
    ]
    return "\n".join(lines) + "\n"


def to_csv(standings: Sequence[Standing]) -> str:
    """Return one line for each experiment, tuner and budget, in fractions; what is not known is empty."""
    text = io.StringIO()
    rows = [_numbers(each) for each in standings]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _means_of(shown: Sequence[Standing], references: Mapping[str, Reference]) -> str:
    if len(references) > 1:
        return f"Means over {len(references)} experiments, with 95 % t intervals over them."
    num = max(each.num for each in shown)
    return f"Means over {num} seeds, with 95 % t intervals over them." if num > 1 else "Of one seed, without intervals."


def _reference_line(name: str, known: Reference) -> str:
    return (
        f"- {name}: full sweep {_points(known.full)}, best single setting {_points(known.single)}, "
        f"default {_points(known.default)} points"
    )


def _cells(standing: Standing) -> Iterator[str]:
    yield standing.tuner
    yield f"{100 * standing.budget:g} %"
    yield _with_interval(standing.share_recovered, digits=0)
    yield _with_interval(standing.gain, digits=2)
    yield _with_interval(standing.regret, digits=2)
    yield f"{100 * standing.spent_share:.2f}"
    yield f"{standing.num_pairs_tried:.0f}"
    yield f"{standing.num_trials:.0f}"
    yield f"{standing.tuner_seconds:.2f}"


def _numbers(standing: Standing) -> dict[str, str]:
    numbers = {"experiment": standing.experiment, "tuner": standing.tuner, "budget": f"{standing.budget:g}"}
    numbers["num"] = str(standing.num)
    for name, estimate in (
        ("share_recovered", standing.share_recovered),
        ("gain", standing.gain),
        ("regret", standing.regret),
    ):
        numbers[name], numbers[f"{name}_low"], numbers[f"{name}_high"] = (
            "" if math.isnan(value) else f"{value:.6f}" for value in (estimate.value, estimate.low, estimate.high)
        )
    numbers["cost_share"] = f"{standing.spent_share:.6f}"
    numbers["num_pairs_tried"] = f"{standing.num_pairs_tried:g}"
    numbers["num_trials"] = f"{standing.num_trials:g}"
    numbers["tuner_seconds"] = f"{standing.tuner_seconds:.3f}"
    return numbers


def _with_interval(estimate: Estimate, *, digits: int) -> str:
    if math.isnan(estimate.value):
        return "-"
    value, low, high = (f"{100 * each:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def _points(gain: float) -> str:
    return f"{100 * gain:+.2f}"


def _row(cells: Iterator[str] | Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
