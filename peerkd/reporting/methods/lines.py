"""Where the marks of line charts lie, in the coordinates of their SVG; the template only draws them."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from peerkd.reporting.charts import Tick, place, round_ticks
from peerkd.results.arrays import FloatArray
from peerkd.results.bands import Band, thin

WIDTH: Final = 400
HEIGHT: Final = 230

_LEFT: Final = 34
_TOP: Final = 8
_BOTTOM: Final = 36
_LABEL_GAP: Final = 14.0
_PIXELS_A_LETTER: Final = 7.0
_MAX_POINTS: Final = 80
"""Of one line; epochs between are not drawn."""


class Strand(NamedTuple):
    """Lines of one kind, with one label and one band."""

    label: str
    style: str
    lines: Sequence[Band]
    area: Band | None


class Line(NamedTuple):
    """A line of a chart."""

    style: str
    path: str
    title: str


class Area(NamedTuple):
    """A band behind lines."""

    style: str
    path: str


class LineLabel(NamedTuple):
    """The name of lines, beside their end."""

    text: str
    style: str
    y: float
    end_y: float


class LineChart(NamedTuple):
    """Curves over epochs."""

    right: float
    bottom: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    areas: list[Area]
    lines: list[Line]
    labels: list[LineLabel]


def line_chart_data(
    strands: Sequence[Strand], *, write: Callable[[float], str], from_zero: bool = False
) -> LineChart | None:
    """Return the chart of some strands, None if there is nothing to draw.

    Args:
        strands: What to draw, the first at the back.
        write: From a value to its text on the axis.
        from_zero: Whether the axis must begin at 0.
    """
    strands = [strand for strand in strands if strand.lines]
    if not strands:
        return None
    bands = [band for strand in strands for band in (*strand.lines, *([strand.area] if strand.area else []))]
    first, last = min(int(band.epochs[0]) for band in bands), max(int(band.epochs[-1]) for band in bands)
    low = 0.0 if from_zero else min(float(band.low.min()) for band in bands)
    high = max(float(band.high.max()) for band in bands)
    high = max(high, low + 1e-6)
    margin = 0.03 * (high - low)
    low, high = (low if from_zero else max(0.0, low - margin)), high + margin
    right = WIDTH - 14 - _PIXELS_A_LETTER * max(len(strand.label) for strand in strands)
    bottom = HEIGHT - _BOTTOM

    def x(epoch: float) -> float:
        return place(epoch, first, max(last, first + 1), _LEFT, right)

    def y(value: float) -> float:
        return place(value, low, high, bottom, _TOP)

    def points(band: Band, values: FloatArray) -> list[str]:
        return [f"{x(epoch):g},{y(value):g}" for epoch, value in zip(band.epochs, values, strict=True)]

    areas, lines = [], []
    for strand in strands:
        if strand.area is not None and len(strand.area.epochs) > 1:
            area = thin(strand.area, num=_MAX_POINTS)
            outline = [*points(area, area.high), *reversed(points(area, area.low))]
            areas.append(Area(strand.style, f"M{' '.join(outline)}Z"))
        for band in strand.lines:
            drawn = thin(band, num=_MAX_POINTS)
            title = f"{strand.label}: {write(float(band.mean[-1]))} after epoch {int(band.epochs[-1])}"
            lines.append(Line(strand.style, f"M{' '.join(points(drawn, drawn.mean))}", title))
    ends = [sum(y(float(band.mean[-1])) for band in strand.lines) / len(strand.lines) for strand in strands]
    places = _spread_out(ends, low=_TOP + 4.0, high=bottom)
    whole = [value for value in round_ticks(first, max(last, first + 1), num=4) if value == int(value) and value >= 1]
    return LineChart(
        right=round(right, 1),
        bottom=bottom,
        x_ticks=[Tick(x(value), f"{value:g}", False) for value in whole],
        y_ticks=[Tick(y(value), write(value), value == 0) for value in round_ticks(low, high, num=5)],
        areas=areas,
        lines=lines,
        labels=[
            LineLabel(strand.label, strand.style, round(at, 1), round(end, 1))
            for strand, at, end in zip(strands, places, ends, strict=True)
        ],
    )


def _spread_out(wanted: Sequence[float], *, low: float, high: float) -> list[float]:
    """Return places near the wanted ones that are a label's height apart, between low and high if all fit."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places = list(wanted)
    reached = low - _LABEL_GAP
    for index in order:
        reached = places[index] = max(places[index], reached + _LABEL_GAP)
    reached = high + _LABEL_GAP
    for index in reversed(order):
        reached = places[index] = min(places[index], reached - _LABEL_GAP)
    return places
