"""The comparison of several studies as an HTML page."""

from collections.abc import Mapping
from typing import Any, Final

from peerkd.reporting import charts, page, wording
from peerkd.reporting.compare import tables
from peerkd.reporting.compare.headline import headline
from peerkd.reporting.facts import ComparedFacts
from peerkd.results.compared_studies import Difference, Quantity, StudyComparison
from peerkd.results.intervals import Estimate

_SECTIONS: Final[Mapping[str, str]] = {
    "findings": "Findings",
    "means": "Means",
    "seeds": "Seed by seed",
    "groups": "What was compared",
    "reading": "How to read this",
}
"""The title of each section by its id, which is also the name of its template."""


def render(comparison: StudyComparison, facts: ComparedFacts) -> str:
    """Return the comparison as one self-contained page."""
    return page.render(
        "compare.html",
        _view(comparison),
        facts=facts,
        sections=_SECTIONS,
        section_folder="compare",
        filters={
            "group_name": tables.name_of,
            "of_quantity": _of_quantity,
            "value_of": _value_of,
            "difference": _difference,
        },
    )


def _view(comparison: StudyComparison) -> dict[str, Any]:
    return {
        "comparison": comparison,
        "summary": tables.summary(comparison),
        "headline": list(headline(comparison)),
        "charts": {title: charts.interval_chart(drawn) for title, drawn in _charted(comparison).items()},
        "has_several_seeds": any(len(group.seeds) > 1 for group in comparison.groups),
    }


def _charted(comparison: StudyComparison) -> dict[str, dict[str, Estimate]]:
    """Return the values of each chart by the title of the chart.

    With a single group, one chart shows all its mean gains. With several groups, there is a chart for each quantity:
    the means of all groups if the quantity is a gain, and the differences from the first group if it is an accuracy.
    The axis of a chart includes 0, so accuracies themselves would lie too close together.
    """
    if len(comparison.groups) == 1:
        (group,) = comparison.groups
        gains = [quantity for quantity in comparison.quantities if not quantity.is_accuracy]
        return {"Means of gains": {each.title: group.estimate(each) for each in gains}} if gains else {}
    return {
        quantity.title: _differences(comparison, quantity) if quantity.is_accuracy else _means(comparison, quantity)
        for quantity in comparison.quantities
    }


def _means(comparison: StudyComparison, quantity: Quantity) -> dict[str, Estimate]:
    return {tables.name_of(place): group.estimate(quantity) for place, group in enumerate(comparison.groups)}


def _differences(comparison: StudyComparison, quantity: Quantity) -> dict[str, Estimate]:
    return {
        f"{tables.name_of(place)} - {tables.name_of(0)}": comparison.difference(place, quantity).estimate
        for place in range(1, len(comparison.groups))
    }


def _of_quantity(estimate: Estimate, quantity: Quantity) -> str:
    return wording.true_minus(tables.estimate_in_words(quantity, estimate))


def _value_of(value: float, quantity: Quantity) -> str:
    return wording.true_minus(tables.value_in_words(quantity, value))


def _difference(difference: Difference) -> str:
    return wording.true_minus(tables.difference_in_words(difference))
