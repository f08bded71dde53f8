"""The curves of a method as charts over epochs, several of which stand side by side."""

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from peerkd.config.methods import METHODS, Method, deployed_predictor
from peerkd.reporting.charts import Area, Axis, Line, Series, Unit, XYChart
from peerkd.reporting.methods.findings import MethodFindings
from peerkd.results.curves import Band, Curve, CurveKey, band, since, thin

_HIDDEN_DIVISOR: Final = 10
"""Charts of accuracy omit the first epochs of a training: the number of its epochs divided by this number.

Accuracy rises so steeply there that the rest of the line would look flat.
"""

_MAX_POINTS: Final = 80
"""The maximum number of points of a line. For longer trainings, only every few epochs are drawn."""

_MUTED: Final = "lm"
_BRANCHES: Final = "l0"
_MEAN_BRANCHES: Final = "l1"
_ENSEMBLE: Final = "l2"
_LOSS_STYLES: Final = ("l0", "l1", "l2", "l3", "l4")


class Panel(NamedTuple):
    """One chart of a method."""

    caption: str
    chart: XYChart


class MethodPanels(NamedTuple):
    """The charts of one method."""

    method: Method
    title: str
    source: str
    panels: list[Panel]


class Ramp(NamedTuple):
    """The chart of the ramp weight, which multiplies the distillation terms of the loss and rises during training."""

    chart: XYChart | None
    methods: list[list[str]]
    """The titles of the methods that share a line of the chart because they have the same weight, for each line."""


class LineGroup(NamedTuple):
    """Curves of one kind before they are drawn: a mean line for each branch, and the range of all runs as an area."""

    label: str
    style: str
    lines: Sequence[Band]
    area: Band | None = None


def method_panels(findings: MethodFindings, architecture: str, method: Method) -> MethodPanels:
    """Return the charts of one method: accuracies, losses, and the disagreement of its branches."""
    made_of = METHODS[method]
    charts = {
        "Accuracy on validation, %": _accuracies(findings, architecture, method),
        "Parts of the training loss, unweighted": _losses(findings, architecture, method),
        "Branches that disagree, % of validation": _disagreements(findings, architecture, method),
    }
    panels = [Panel(caption, chart) for caption, chart in charts.items() if chart is not None]
    return MethodPanels(method, made_of.title, made_of.source, panels)


def ramp(findings: MethodFindings, architecture: str) -> Ramp:
    """Return the chart of the weight of the distillation by epoch. Methods with the same weight share a line."""
    groups: dict[tuple[float, ...], list[Method]] = {}
    for method in findings.comparison.methods:
        curves = _curves(findings, architecture, method, "train", "ramp_weight")
        if METHODS[method].ramps_up and curves:
            groups.setdefault(tuple(curves[0].values), []).append(method)
    line_groups = [
        _line_group(
            f"w {index + 1}" if len(groups) > 1 else "w",
            style,
            [_curves(findings, architecture, methods[0], "train", "ramp_weight")],
        )
        for index, (methods, style) in enumerate(zip(groups.values(), _LOSS_STYLES, strict=False))
    ]
    return Ramp(
        chart=epoch_chart(line_groups, unit="number", from_zero=True),
        methods=[[METHODS[method].title for method in methods] for methods in groups.values()],
    )


def epoch_chart(line_groups: Sequence[LineGroup], *, unit: Unit, from_zero: bool = False) -> XYChart | None:
    """Return the chart of groups of lines over epochs, or None if there is no line.

    Args:
        line_groups: The groups. The first one is drawn behind the others.
        unit: How the values are written: ``percent`` for fractions, else ``number``.
        from_zero: Whether the y axis begins at 0.
    """
    line_groups = [line_group for line_group in line_groups if line_group.lines]
    if not line_groups:
        return None
    bands = [
        each
        for line_group in line_groups
        for each in (*line_group.lines, *([line_group.area] if line_group.area else []))
    ]
    first, last = min(int(each.epochs[0]) for each in bands), max(int(each.epochs[-1]) for each in bands)
    last = max(last, first + 1)
    low = 0.0 if from_zero else min(float(each.low.min()) for each in bands)
    high = max(float(each.high.max()) for each in bands)
    high = max(high, low + 1e-6)
    margin = 0.03 * (high - low)
    low, high = (low if from_zero else max(0.0, low - margin)), high + margin
    return XYChart(
        x=Axis(first, last, "whole", title="epoch", has_grid=False),
        y=Axis(low, high, unit),
        series=[_series(line_group, _percent if unit == "percent" else _number) for line_group in line_groups],
    )


def _series(line_group: LineGroup, write: Callable[[float], str]) -> Series:
    lines = []
    for line in line_group.lines:
        title = f"{line_group.label}: {write(float(line.mean[-1]))} after epoch {int(line.epochs[-1])}"
        drawn = thin(line, num=_MAX_POINTS)
        lines.append(Line(drawn.epochs.tolist(), drawn.mean.tolist(), title))
    area = None
    if line_group.area is not None and len(line_group.area.epochs) > 1:
        drawn = thin(line_group.area, num=_MAX_POINTS)
        area = Area(drawn.epochs.tolist(), drawn.low.tolist(), drawn.high.tolist())
    return Series(line_group.label, line_group.style, lines, area=area)


def _accuracies(findings: MethodFindings, architecture: str, method: Method) -> XYChart | None:
    names = sorted(
        {
            key.quantity.removeprefix("accuracy/")
            for key in findings.curves
            if key[:2] == (architecture, method) and key.split == "validation" and key.quantity.startswith("accuracy/")
        }
    )

    def line_group(label: str, style: str, predictors: Sequence[str]) -> LineGroup:
        found = [_curves(findings, architecture, method, "validation", f"accuracy/{name}") for name in predictors]
        return _line_group(label, style, found)

    branches = [name for name in names if re.fullmatch(r"branch_\d+", name)]
    means = [name for name in names if re.fullmatch(r"mean_branch_\d+", name)]
    ensemble = [name for name in names if name == METHODS[method].ensemble]
    line_groups = [
        line_group(_numbered("branch", len(branches)), _BRANCHES, branches),
        line_group(_numbered("mean br.", len(means)), _MEAN_BRANCHES, means),
        line_group("ensemble", _ENSEMBLE, ensemble),
    ]
    baseline = findings.comparison.baseline
    if method != baseline:
        predictor = deployed_predictor(baseline, num_branches=max(len(branches), 1))
        reference = _curves(findings, architecture, baseline, "validation", f"accuracy/{predictor}")
        line_groups.insert(0, _line_group("baseline", _MUTED, [reference])._replace(area=None))
    first = findings.comparison.last_epoch // _HIDDEN_DIVISOR
    return epoch_chart([_since(each, first) for each in line_groups], unit="percent")


def _losses(findings: MethodFindings, architecture: str, method: Method) -> XYChart | None:
    parts = sorted(
        {
            key.quantity.removeprefix("loss/")
            for key in findings.curves
            if key[:2] == (architecture, method) and key.split == "train" and key.quantity.startswith("loss/")
        },
        # The cross entropies come first, so that they have the same colours for every method.
        key=lambda part: (not part.startswith("cross_entropy"), part),
    )
    line_groups = [
        _line_group(part_label(part), style, [_curves(findings, architecture, method, "train", f"loss/{part}")])
        for part, style in zip(parts, _LOSS_STYLES, strict=False)
    ]
    return epoch_chart(line_groups, unit="number", from_zero=True)


def _disagreements(findings: MethodFindings, architecture: str, method: Method) -> XYChart | None:
    line_groups = [
        _line_group(label, style, [_curves(findings, architecture, method, "validation", quantity)])
        for label, style, quantity in (
            ("trained", _BRANCHES, "disagreement"),
            ("mean", _MEAN_BRANCHES, "mean_disagreement"),
        )
    ]
    return epoch_chart(line_groups, unit="percent", from_zero=True)


def part_label(part: str) -> str:
    """Return a short name of a part of a loss: cross_entropy_branches becomes CE branches, a_to_b gets an arrow."""
    return part.replace("cross_entropy", "CE").replace("_to_", " \N{RIGHTWARDS ARROW} ").replace("_", " ")


def _since(line_group: LineGroup, epoch: int) -> LineGroup:
    area = since(line_group.area, epoch=epoch) if line_group.area else None
    return line_group._replace(lines=[since(line, epoch=epoch) for line in line_group.lines], area=area)


def _numbered(name: str, num: int) -> str:
    return f"{name} 1\N{EN DASH}{num}" if num > 1 else f"{name} 1"


def _line_group(label: str, style: str, groups: Sequence[Sequence[Curve]]) -> LineGroup:
    """Return a line for each group of curves, and the area behind the lines.

    The curves of a group differ only by their seed, and its line is their mean. The area is the range of all curves of
    all groups.
    """
    lines = [found for curves in groups if (found := band(curves)) is not None]
    everything = [curve for curves in groups for curve in curves]
    return LineGroup(label, style, lines, band(everything) if len(everything) > 1 else None)


def _curves(findings: MethodFindings, architecture: str, method: Method, split: str, quantity: str) -> list[Curve]:
    seeds = sorted(findings.comparison.scores[architecture, method, "deployed"].by_seed)
    keys = [CurveKey(architecture, method, seed, split, quantity) for seed in seeds]
    return [findings.curves[key] for key in keys if key in findings.curves]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}"


def _number(value: float) -> str:
    return f"{value:.3g}"
