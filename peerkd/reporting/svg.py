"""Charts as SVG. Positions are in pixels of the view box, which the page scales."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from peerkd.reporting.charts import Axis, BarChart, IntervalChart, Series, XYChart
from peerkd.reporting.wording import true_minus

_LETTER_WIDTH: Final = 7.2
_LABEL_HEIGHT: Final = 14.0
_ROW_HEIGHT: Final = 28
_AXIS_HEIGHT: Final = 36
"""Space below a plot for tick labels and the title of the x axis."""

_TOP: Final = 8.0
_RIGHT: Final = 16.0


class _Frame(NamedTuple):
    """The size of a chart and the left edge of its plot."""

    width: float
    height: float
    left: float
    css_class: str


class _AxisScale(NamedTuple):
    """A linear map from the values of an axis to positions between two pixels."""

    axis: Axis
    start: float
    end: float

    def at(self, value: float) -> float:
        axis = self.axis
        return round(self.start + (value - axis.low) / (axis.high - axis.low) * (self.end - self.start), 1)


def xy_chart(chart: XYChart, label: str, *, height: float) -> Markup:
    """Return a chart of the width of the text. ``label`` describes the chart to readers who cannot see it."""
    return _xy_chart(chart, label, _Frame(560, height, 48, "chart"))


def panel(chart: XYChart, label: str) -> Markup:
    """Return a smaller chart, several of which fit side by side."""
    return _xy_chart(chart, label, _Frame(400, 230, 34, "chart panel"))


def interval_chart(chart: IntervalChart, label: str) -> Markup:
    """Return a chart of values with their intervals."""
    width, height = 560, _ROW_HEIGHT * len(chart.rows)
    left = 16 + _LETTER_WIDTH * max((len(row.label) for row in chart.rows), default=0)
    x = _AxisScale(chart.x, left, width - _RIGHT)
    svg = _svg(width, height + 24, label, "chart")
    for tick in chart.x.ticks:
        place = x.at(tick.value)
        _add(svg, "line", css="grid" if tick.value else "zero", x1=place, x2=place, y1=0, y2=height)
        _add(svg, "text", tick.label, css="tick", x=place, y=height + 17, anchor="middle")
    for number, row in enumerate(chart.rows):
        value, low, high, _ = row.estimate.value, row.estimate.low, row.estimate.high, row.estimate.num
        if math.isnan(value):
            continue
        y = _ROW_HEIGHT * (number + 0.5)
        _add(svg, "text", row.label, x=0, y=y + 4)
        if not math.isnan(low):
            _add(svg, "line", css="whisker", x1=x.at(low), x2=x.at(high), y1=y, y2=y)
        _titled(_add(svg, "circle", css="mark", cx=x.at(value), cy=y, r=4.5), row.title)
    return _markup(svg)


def bar_chart(chart: BarChart, label: str) -> Markup:
    """Return a chart of counts."""
    width, left = 340, 16 + _LETTER_WIDTH * max((len(name) for name, _ in chart.bars), default=0)
    longest, most = width - left - 48, max([1, *(count for _, count in chart.bars)])
    svg = _svg(width, _ROW_HEIGHT * len(chart.bars), label, "chart bars")
    for number, (name, count) in enumerate(chart.bars):
        y, length = _ROW_HEIGHT * number, round(longest * count / most, 1)
        _add(svg, "text", name, x=left - 8, y=y + 18, anchor="end")
        _add(svg, "rect", css="mark", x=left, y=y + 5, width=length, height=18, rx=2)
        _add(svg, "text", str(count), x=left + length + 8, y=y + 18)
    return _markup(svg)


def _xy_chart(chart: XYChart, label: str, frame: _Frame) -> Markup:
    labelled = [series for series in chart.series if series.lines]
    right_margin = 14 + _LETTER_WIDTH * max(len(series.label) for series in labelled) if labelled else _RIGHT
    bottom = frame.height - _AXIS_HEIGHT
    x, y = _AxisScale(chart.x, frame.left, round(frame.width - right_margin, 1)), _AxisScale(chart.y, bottom, _TOP)
    svg = _svg(frame.width, frame.height, label, frame.css_class)
    for tick in chart.y.ticks:
        place = y.at(tick.value)
        if chart.y.has_grid:
            _add(svg, "line", css="grid" if tick.value else "zero", x1=x.start, x2=x.end, y1=place, y2=place)
        _add(svg, "text", tick.label, css="tick", x=frame.left - 7, y=place + 4, anchor="end")
    for tick in chart.x.ticks:
        place = x.at(tick.value)
        if chart.x.has_grid:
            _add(svg, "line", css="grid" if tick.value else "zero", x1=place, x2=place, y1=_TOP, y2=bottom)
        _add(svg, "text", tick.label, css="tick", x=place, y=bottom + 17, anchor="middle")
    _add(svg, "text", chart.x.title, css="tick", x=x.end, y=frame.height - 4, anchor="end")
    for series in chart.series:
        if series.area:
            xs, lows, highs = series.area
            outline = [*_points(xs, highs, x, y), *reversed(_points(xs, lows, x, y))]
            _add(svg, "path", css=f"band {series.style}", d=f"M{' '.join(outline)}Z")
    for series in chart.series:
        for xs, ys, title in series.lines:
            path = _add(svg, "path", css=f"line {series.style}", d=f"M{' '.join(_points(xs, ys, x, y))}")
            _titled(path, title)
        for dot in series.dots:
            _titled(_add(svg, "circle", css=f"dot {series.style}", cx=x.at(dot.x), cy=y.at(dot.y), r=4), dot.title)
    _add_labels(svg, labelled, x, y)
    return _markup(svg)


def _add_labels(svg: ElementTree.Element, labelled: Sequence[Series], x: _AxisScale, y: _AxisScale) -> None:
    """Write the label of each series at the right ends of its lines, without overlaps.

    A series with several lines has its label at the mean height of their ends.
    """
    ends = [
        (max(x.at(line.xs[-1]) for line in lines), sum(y.at(line.ys[-1]) for line in lines) / len(lines))
        for lines in (series.lines for series in labelled)
    ]
    places = spread_out([end_y for _, end_y in ends], low=_TOP + 4, high=y.start)
    for series, (end_x, end_y), place in zip(labelled, ends, places, strict=True):
        _add(svg, "line", css=f"leader {series.style}", x1=end_x + 1, x2=end_x + 8, y1=end_y, y2=place)
        _add(svg, "text", series.label, css=f"name {series.style}", x=end_x + 10, y=place + 4)


def spread_out(wanted: Sequence[float], *, low: float, high: float) -> list[float]:
    """Return positions near the wanted ones that are a label's height apart, between low and high if all fit."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places = list(wanted)
    reached = low - _LABEL_HEIGHT
    for index in order:
        reached = places[index] = max(places[index], reached + _LABEL_HEIGHT)
    reached = high + _LABEL_HEIGHT
    for index in reversed(order):
        reached = places[index] = min(places[index], reached - _LABEL_HEIGHT)
    return places


def _points(xs: Iterable[float], ys: Iterable[float], x: _AxisScale, y: _AxisScale) -> list[str]:
    return [f"{x.at(one):g},{y.at(other):g}" for one, other in zip(xs, ys, strict=True)]


def _svg(width: float, height: float, label: str, css_class: str) -> ElementTree.Element:
    attributes = {"class": css_class, "viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": label}
    return ElementTree.Element("svg", attributes)


def _add(
    svg: ElementTree.Element, tag: str, text: str = "", *, css: str = "", anchor: str = "", **attributes: float | str
) -> ElementTree.Element:
    named = {"class": css, "text-anchor": anchor}
    named |= {name: value if isinstance(value, str) else f"{value:g}" for name, value in attributes.items()}
    element = ElementTree.SubElement(svg, tag, {name: value for name, value in named.items() if value})
    element.text = true_minus(text) or None
    return element


def _titled(element: ElementTree.Element, title: str) -> None:
    if title:
        ElementTree.SubElement(element, "title").text = true_minus(title)


def _markup(svg: ElementTree.Element) -> Markup:
    ElementTree.indent(svg)
    return Markup(ElementTree.tostring(svg, encoding="unicode"))
