"""The comparison of several studies as text: lines for a terminal, a CSV file, and JSON values."""

import csv
import io
import math
import textwrap
from collections.abc import Iterator
from typing import Any, Final

from peerkd.reporting.wording import percent, points
from peerkd.results.compared_studies import BASES, Difference, Group, Quantity, StudyComparison
from peerkd.results.intervals import Estimate
from peerkd.wording import plural

_NUM_COLUMNS: Final = 80
"""The width of the lines for a terminal."""

_LABEL_WIDTH: Final = 22
_BOUNDS: Final = ("value", "low", "high", "num")


def value_in_words(quantity: Quantity, value: float) -> str:
    """Return a value of a quantity: an accuracy in percent, a gain in points."""
    return percent(value) if quantity.is_accuracy else points(value)


def estimate_in_words(quantity: Quantity, estimate: Estimate) -> str:
    """Return a value with its 95 % interval in parentheses if it has one."""
    text = value_in_words(quantity, estimate.value)
    if not estimate.has_interval:
        return text
    low, high = (value_in_words(quantity, bound) for bound in (estimate.low, estimate.high))
    return f"{text} ({low} to {high})"


def difference_in_words(difference: Difference) -> str:
    """Return a difference in points, its interval if it has one, and how it is paired: by seed, by peers, or not."""
    return f"{estimate_in_words(_GAIN, difference.estimate)}, {BASES[difference.basis]}"


_GAIN: Final = Quantity("difference", is_accuracy=False)


def name_of(place: int) -> str:
    """Return the name of the group at the index ``place``, which begins at 0: ``group 1`` is the first."""
    return f"group {place + 1}"


def summary(comparison: StudyComparison) -> str:
    """Return in a sentence how many studies are compared."""
    seeds = ", ".join(map(str, comparison.seeds))
    groups = plural(len(comparison.groups), "group")
    noun = "seed" if len(comparison.seeds) == 1 else "seeds"
    return f"{plural(len(comparison.studies), 'study', 'studies')} in {groups}, {noun} {seeds}"


def terminal_summary(comparison: StudyComparison) -> str:
    """Return the comparison as plain text of at most 80 columns. Only a long setting or name exceeds this width."""
    lines = [summary(comparison)]
    for place, group in enumerate(comparison.groups):
        runs = ", ".join(dict.fromkeys(study.run for study in group.studies))
        lines += ["", f"{name_of(place)}: {plural(len(group.seeds), 'seed')}"]
        lines += [f"  {name} = {value or 'not set'}" for name, value in group.settings.items()]
        lines += textwrap.wrap(f"runs: {runs}", _NUM_COLUMNS, initial_indent="  ", subsequent_indent="  ")
    lines += ["", "means on test with 95 % intervals, gains and differences in points of accuracy:"]
    for quantity in comparison.quantities:
        lines += ["", quantity.title, *_lines_of(comparison, quantity)]
    return "\n".join(lines)


def _lines_of(comparison: StudyComparison, quantity: Quantity) -> Iterator[str]:
    for place, group in enumerate(comparison.groups):
        estimate = group.estimate(quantity)
        over = plural(estimate.num, group.unit(quantity))
        yield f"  {name_of(place):<{_LABEL_WIDTH}}{estimate_in_words(quantity, estimate)}, n = {over}"
    for place in range(1, len(comparison.groups)):
        difference = comparison.difference(place, quantity)
        yield f"  {f'{name_of(place)} - {name_of(0)}':<{_LABEL_WIDTH}}{difference_in_words(difference)}"


def to_json(comparison: StudyComparison) -> dict[str, Any]:
    """Return the comparison as JSON values. Gains and accuracies are fractions; a missing number is null."""
    return {
        "fields_that_differ": list(comparison.fields),
        "seeds": list(comparison.seeds),
        "groups": [
            {
                "name": name_of(place),
                "settings": dict(group.settings),
                "seeds": list(group.seeds),
                "runs": list(dict.fromkeys(study.run for study in group.studies)),
            }
            for place, group in enumerate(comparison.groups)
        ],
        "quantities": [
            {"title": quantity.title, "groups": [*_json_of(comparison, quantity)]} for quantity in comparison.quantities
        ],
    }


def _json_of(comparison: StudyComparison, quantity: Quantity) -> Iterator[dict[str, Any]]:
    for place, group in enumerate(comparison.groups):
        difference = comparison.difference(place, quantity) if place else None
        yield {
            "name": name_of(place),
            "mean": _numbers(group.estimate(quantity)),
            "over": group.unit(quantity),
            "by_seed": {str(seed): value for seed, value in group.by_seed(quantity).items()},
            "difference": difference and {**_numbers(difference.estimate), "basis": difference.basis},
        }


def to_csv(comparison: StudyComparison) -> str:
    """Return one line for each quantity and group. Gains and accuracies are fractions; a missing number is empty.

    ``difference`` is the mean of the group minus that of the first group.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ours = ("seeds", "over", *_BOUNDS, "difference", *(f"difference_{name}" for name in (*_BOUNDS[1:], "basis")))
    writer.writerow(("quantity", "group", *comparison.fields, *ours))
    for quantity in comparison.quantities:
        for place, group in enumerate(comparison.groups):
            writer.writerow((quantity.title, place + 1, *group.settings.values(), *_cells(comparison, place, quantity)))
    return text.getvalue()


def _cells(comparison: StudyComparison, place: int, quantity: Quantity) -> list[str]:
    group: Group = comparison.groups[place]
    cells = [" ".join(map(str, group.seeds)), group.unit(quantity), *_texts(group.estimate(quantity))]
    if not place:
        return [*cells, "", "", "", "", ""]
    difference = comparison.difference(place, quantity)
    return [*cells, *_texts(difference.estimate), difference.basis]


def metrics(comparison: StudyComparison) -> dict[str, float]:
    """Return the means of the first group as floats, for a table of metrics. Their names contain the units."""
    group = comparison.groups[0]
    values = {"num_seeds": float(len(group.seeds))}
    for quantity in comparison.quantities:
        name = "".join(letter if letter.isalnum() else "_" for letter in quantity.title.replace(",", ""))
        unit = "pct" if quantity.is_accuracy else "points"
        values[f"{name}_{unit}"] = 100 * group.estimate(quantity).value
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _numbers(estimate: Estimate) -> dict[str, float | int | None]:
    values = {name: getattr(estimate, name) for name in _BOUNDS}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _texts(estimate: Estimate) -> list[str]:
    return ["" if value is None else f"{value:.6g}" for value in _numbers(estimate).values()]
