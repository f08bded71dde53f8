"""The standings of tuners as Markdown and as CSV."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.tuning.contest import ALL, Standing
from benchmarks.tuning.held_out import PARTS
from benchmarks.tuning.scoring import Reference
from peerkd.results.intervals import Estimate
from peerkd.study.objective import Objective

CONVENTIONS: Final = (
    "Tuners choose on validation; every number is of those choices on test, as a mean over all ordered pairs. A pair "
    "whose student stays unchanged gains 0. Recovered: the share of the way from the best single setting (0 %) to the "
    "full sweep's choice for each pair (100 %), both chosen on validation; a dash if the full sweep is no better. "
    "Regret: the full sweep's gain minus this one. Budget and cost: fractions of the cost of the full sweep without "
    "controls, in training samples; a sample in a forward pass alone counts a third. A tuner's measurements, its "
    "teachers' logits and its features are counted."
)

EXPERIMENTS: Final = "experiments"
"""Name of the part that is a whole experiment. Tuners may start from other experiments."""

LIMIT: Final = (
    "{rule} A student whose choice was not measured stays unchanged. The same holds for the default and the best "
    "single setting on pairs on which they break the limit."
)

EPOCHS: Final = (
    "A choice stops after the epoch that was best on validation, among those that were paid for; one that was not "
    "measured is a whole trial. The full sweep and the best single setting choose among all epochs; the default is "
    "whole trials."
)

_OF_FOLDS: Final = (
    "No prior table is used. Budgets, costs and references are those of full sweeps of the held-out {part} alone; the "
    "folds are combined, with equal weight for each pair."
)

FOLDS: Final[Mapping[str, str]] = {
    "pairs": "{num} folds of pairs: on each, tuners start from whole trials of all other pairs of the experiment. "
    + _OF_FOLDS.format(part="pairs"),
    "peers": "{num} folds of peers: on the pairs of each, tuners start from whole trials of the pairs among all other "
    "peers. A pair of two folds counts in both. " + _OF_FOLDS.format(part="peers' pairs"),
}
"""Description of each held-out part, with the number of folds to fill in."""

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


class Section(NamedTuple):
    """The content of one table."""

    part: str
    """``EXPERIMENTS``, or the part that was held out of each experiment."""

    num_folds: int
    """Number of folds, or 0 for whole experiments."""

    standings: Sequence[Standing]
    references: Mapping[str, Reference]
    """Reference choices by experiment."""


LEARNED: Final = (
    "The experience is not the one that comes with peerkd. It is learned from up to {num} tables, for each experiment "
    "without itself and without those of its seed."
)


def markdown(
    sections: Sequence[Section],
    *,
    objective: Objective,
    chooses_epochs: bool,
    num_priors: int,
    num_learned_from: int = 0,
) -> str:
    """Return the conventions, and for each section its references and a table.

    The table shows the one experiment, or the means over all experiments.
    """
    lines = [
        f"# Tuners, by gain of {objective.accuracy_in_words}",
        "",
        CONVENTIONS,
        *(("", LIMIT.format(rule=objective.limit_in_words)) if objective.is_limited else ()),
        *(("", EPOCHS) if chooses_epochs else ()),
    ]
    for section in sections:
        shown = [each for each in section.standings if each.experiment == ALL] or list(section.standings)
        lines += [
            *(("", f"## Held-out {section.part}") if len(sections) > 1 else ()),
            "",
            _means_of(shown, section.references),
            _start(section, num_priors),
            *((LEARNED.format(num=num_learned_from),) if num_learned_from else ()),
            "",
            *(_reference_line(name, known) for name, known in section.references.items()),
            "",
            _row(_COLUMNS),
            _row(("---", *("---:" for _ in _COLUMNS[1:]))),
            *(_row(_cells(each)) for each in shown),
        ]
    return "\n".join(lines) + "\n"


def to_csv(sections: Sequence[Section]) -> str:
    """Return one line for each part, experiment, tuner and budget, in fractions. Unknown values are empty."""
    text = io.StringIO()
    rows = [_numbers(section, each) for section in sections for each in section.standings]
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _means_of(shown: Sequence[Standing], references: Mapping[str, Reference]) -> str:
    if len(references) > 1:
        return f"Means over {len(references)} experiments, with 95 % t intervals over them."
    num = max(each.num for each in shown)
    return f"Means over {num} seeds, with 95 % t intervals over them." if num > 1 else "Of one seed, without intervals."


def _start(section: Section, num_priors: int) -> str:
    if section.part in PARTS:
        return FOLDS[section.part].format(num=section.num_folds)
    if num_priors:
        return f"Prior tables that tuners may start from, never the one that is replayed: {num_priors}."
    return (
        "No prior tables: peerkd starts from experience, where that covers the settings; the others start from nothing."
    )


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


def _numbers(section: Section, standing: Standing) -> dict[str, str]:
    numbers = {"held_out": section.part, "folds": str(section.num_folds)}
    numbers |= {"experiment": standing.experiment, "tuner": standing.tuner, "budget": f"{standing.budget:g}"}
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
