"""The comparison of several studies as text: lines for a terminal, a CSV file, and JSON values."""

import csv
import io
import math
import textwrap
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from peerkd.reporting.wording import percent, points
from peerkd.results.compared_studies import BASES, Difference, Quantity, StudyComparison
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
    writer.writerow(_columns(comparison))
    for row in _rows(comparison):
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row])
    return text.getvalue()


def to_arrow(comparison: StudyComparison) -> pa.Table:
    """Return the table that ``to_csv`` writes, with a null for each missing number."""
    columns = _columns(comparison)
    types = [_TYPES.get(name.removeprefix("difference_"), pa.string()) for name in columns]
    values: list[list[object]] = [list(column) for column in zip(*_rows(comparison), strict=True)]
    return pa.table(
        [pa.array(column, kind) for column, kind in zip(values, types, strict=True)],
        names=columns,
    )


_TYPES: Final = {
    "group": pa.int64(),
    "num": pa.int64(),
    **dict.fromkeys(("value", "low", "high", "difference"), pa.float64()),
}
"""The types of the columns that are not texts. The columns of a difference have the same types."""


def _columns(comparison: StudyComparison) -> list[str]:
    differences = ("difference", *(f"difference_{name}" for name in (*_BOUNDS[1:], "basis")))
    return ["quantity", "group", *comparison.fields, "seeds", "over", *_BOUNDS, *differences]


def _rows(comparison: StudyComparison) -> Iterator[tuple[str | int | float | None, ...]]:
    """Yield the values of ``_columns`` for each quantity and group."""
    for quantity in comparison.quantities:
        for place, group in enumerate(comparison.groups):
            difference = comparison.difference(place, quantity) if place else None
            theirs = _numbers(difference.estimate) if difference else dict.fromkeys(_BOUNDS)
            yield (
                quantity.title,
                place + 1,
                *group.settings.values(),
                " ".join(map(str, group.seeds)),
                group.unit(quantity),
                *_numbers(group.estimate(quantity)).values(),
                *theirs.values(),
                difference.basis if difference else None,
            )


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
