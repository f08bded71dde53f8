"""Which curves of a method are drawn together."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from peerkd.config.methods import METHODS, Method, deployed_predictor
from peerkd.reporting.methods.findings import MethodFindings
from peerkd.reporting.methods.lines import LineChart, Strand, line_chart_data
from peerkd.results.bands import band, since
from peerkd.results.curves import Curve, CurveKey

_HIDDEN_PART: Final = 10
"""One in so many epochs, the first, is left out of accuracies: they rise so far that the end could not be seen."""

_MUTED: Final = "lm"
_BRANCHES: Final = "l0"
_MEAN_BRANCHES: Final = "l1"
_ENSEMBLE: Final = "l2"
_LOSS_STYLES: Final = ("l0", "l1", "l2", "l3", "l4")


class Panel(NamedTuple):
    """One chart of a method."""

    caption: str
    chart: LineChart


class MethodPanels(NamedTuple):
    """The charts of one method."""

    method: Method
    title: str
    source: str
    panels: list[Panel]


class Ramp(NamedTuple):
    """The weight of what is distilled, which many methods have in common."""

    chart: LineChart | None
    methods: list[list[str]]
    """For each line in order, the titles of the methods that have it."""


def method_panels(findings: MethodFindings, architecture: str, method: Method) -> MethodPanels:
    """Return the charts of one method: accuracies, losses, and how much its branches differ."""
    made_of = METHODS[method]
    charts = {
        "Accuracy on validation, %": _accuracies(findings, architecture, method),
        "Parts of the loss in training, unweighted": _losses(findings, architecture, method),
        "Branches that disagree, % of validation": _disagreements(findings, architecture, method),
    }
    panels = [Panel(caption, chart) for caption, chart in charts.items() if chart is not None]
    return MethodPanels(method, made_of.title, made_of.source, panels)


def ramp(findings: MethodFindings, architecture: str) -> Ramp:
    """Return the chart of the ramp, methods with one and the same weight in one line."""
    groups: dict[tuple[float, ...], list[Method]] = {}
    for method in findings.comparison.methods:
        curves = _curves(findings, architecture, method, "train", "ramp_weight")
        if METHODS[method].ramps_up and curves:
            groups.setdefault(tuple(curves[0].values), []).append(method)
    strands = [
        _strand(
            f"w {index + 1}" if len(groups) > 1 else "w",
            style,
            [_curves(findings, architecture, methods[0], "train", "ramp_weight")],
        )
        for index, (methods, style) in enumerate(zip(groups.values(), _LOSS_STYLES, strict=False))
    ]
    return Ramp(
        chart=line_chart_data(strands, write=_number, from_zero=True),
        methods=[[METHODS[method].title for method in methods] for methods in groups.values()],
    )


def _accuracies(findings: MethodFindings, architecture: str, method: Method) -> LineChart | None:
    names = sorted(
        {
            key.quantity.removeprefix("accuracy/")
            for key in findings.curves
            if key[:2] == (architecture, method) and key.split == "validation" and key.quantity.startswith("accuracy/")
        }
    )

    def strand(label: str, style: str, predictors: Sequence[str]) -> Strand:
        found = [_curves(findings, architecture, method, "validation", f"accuracy/{name}") for name in predictors]
        return _strand(label, style, found)

    branches = [name for name in names if re.fullmatch(r"branch_\d+", name)]
    means = [name for name in names if re.fullmatch(r"mean_branch_\d+", name)]
    ensemble = [name for name in names if name == METHODS[method].ensemble]
    strands = [
        strand(_numbered("branch", len(branches)), _BRANCHES, branches),
        strand(_numbered("mean br.", len(means)), _MEAN_BRANCHES, means),
        strand("ensemble", _ENSEMBLE, ensemble),
    ]
    baseline = findings.comparison.baseline
    if method != baseline:
        predictor = deployed_predictor(baseline, num_branches=max(len(branches), 1))
        reference = _curves(findings, architecture, baseline, "validation", f"accuracy/{predictor}")
        strands.insert(0, _strand("baseline", _MUTED, [reference])._replace(area=None))
    first = findings.comparison.last_epoch // _HIDDEN_PART
    return line_chart_data([_since(each, first) for each in strands], write=_percent)


def _losses(findings: MethodFindings, architecture: str, method: Method) -> LineChart | None:
    parts = sorted(
        {
            key.quantity.removeprefix("loss/")
            for key in findings.curves
            if key[:2] == (architecture, method) and key.split == "train" and key.quantity.startswith("loss/")
        },
        # What labels teach comes first, in the same colours for every method.
        key=lambda part: (not part.startswith("cross_entropy"), part),
    )
    strands = [
        _strand(part_label(part), style, [_curves(findings, architecture, method, "train", f"loss/{part}")])
        for part, style in zip(parts, _LOSS_STYLES, strict=False)
    ]
    return line_chart_data(strands, write=_number, from_zero=True)


def _disagreements(findings: MethodFindings, architecture: str, method: Method) -> LineChart | None:
    strands = [
        _strand(label, style, [_curves(findings, architecture, method, "validation", quantity)])
        for label, style, quantity in (
            ("trained", _BRANCHES, "disagreement"),
            ("mean", _MEAN_BRANCHES, "mean_disagreement"),
        )
    ]
    return line_chart_data(strands, write=_percent, from_zero=True)


def part_label(part: str) -> str:
    """Return a short name for a part of a loss: cross_entropy_branches is CE branches, a_to_b has an arrow."""
    return part.replace("cross_entropy", "CE").replace("_to_", " \N{RIGHTWARDS ARROW} ").replace("_", " ")


def _since(strand: Strand, epoch: int) -> Strand:
    area = since(strand.area, epoch=epoch) if strand.area else None
    return strand._replace(lines=[since(line, epoch=epoch) for line in strand.lines], area=area)


def _numbered(name: str, num: int) -> str:
    return f"{name} 1\N{EN DASH}{num}" if num > 1 else f"{name} 1"


def _strand(label: str, style: str, groups: Sequence[Sequence[Curve]]) -> Strand:
    """Return one line for each group, the mean over its seeds, and one band over all seeds of all groups."""
    lines = [found for curves in groups if (found := band(curves)) is not None]
    everything = [curve for curves in groups for curve in curves]
    return Strand(label, style, lines, band(everything) if len(everything) > 1 else None)


def _curves(findings: MethodFindings, architecture: str, method: Method, split: str, quantity: str) -> list[Curve]:
    seeds = sorted(findings.comparison.scores[architecture, method, "deployed"].by_seed)
    keys = [CurveKey(architecture, method, seed, split, quantity) for seed in seeds]
    return [findings.curves[key] for key in keys if key in findings.curves]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}"


def _number(value: float) -> str:
    return f"{value:.3g}"
