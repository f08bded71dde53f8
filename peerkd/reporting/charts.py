"""Where the marks of the charts lie, in the coordinates of their SVG; the templates only draw them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from peerkd.reporting.wording import number, points
from peerkd.results.arrays import FloatArray
from peerkd.results.intervals import Estimate

WIDTH: Final = 560
"""Of a chart; it scales with the page."""

BAR_CHART_WIDTH: Final = 340

_LABEL_WIDTH: Final = 190
_RIGHT_MARGIN: Final = 16
_ROW_HEIGHT: Final = 28


class Tick(NamedTuple):
    """A line of an axis."""

    position: float
    label: str
    is_zero: bool


class Whisker(NamedTuple):
    """A value with its interval in a row of an interval chart."""

    label: str
    text: str
    y: float
    x: float
    low: float
    high: float


class IntervalChart(NamedTuple):
    """Means with their intervals, one below the other on one axis in points."""

    height: float
    ticks: list[Tick]
    whiskers: list[Whisker]


class Dot(NamedTuple):
    """A pair in a scatter chart."""

    x: float
    y: float
    title: str


class Scatter(NamedTuple):
    """Gain in points against a distance."""

    height: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    dots: list[Dot]


class Bar(NamedTuple):
    """One value of a bar chart."""

    label: str
    num: int
    x: float
    y: float
    width: float


class BarChart(NamedTuple):
    """Counts, one bar below the other."""

    height: float
    bars: list[Bar]


def interval_chart_data(
    estimates: Mapping[str, Estimate], *, write: Callable[[float], str] = points, label_width: float = _LABEL_WIDTH
) -> IntervalChart:
    """Return the chart of some gains in the given order, zero always on the axis."""
    reached = [0.0]
    reached += [
        bound
        for estimate in estimates.values()
        for bound in (estimate.value, estimate.low, estimate.high)
        if not math.isnan(bound)
    ]
    low, high = min(reached), max(reached)
    margin = 0.05 * (high - low) or 0.01
    low, high = low - margin, high + margin

    def x(value: float) -> float:
        return place(value, low, high, label_width, WIDTH - _RIGHT_MARGIN)

    whiskers = [
        Whisker(
            label=label,
            text=write(estimate.value),
            y=_ROW_HEIGHT * (row + 0.5),
            x=x(estimate.value),
            low=x(estimate.value if math.isnan(estimate.low) else estimate.low),
            high=x(estimate.value if math.isnan(estimate.high) else estimate.high),
        )
        for row, (label, estimate) in enumerate(estimates.items())
        if not math.isnan(estimate.value)
    ]
    ticks = [Tick(x(value), _tick_points(value), value == 0) for value in round_ticks(low, high, num=5)]
    return IntervalChart(height=_ROW_HEIGHT * len(estimates), ticks=ticks, whiskers=whiskers)


def scatter_data(distance_PP: FloatArray, gain_PP: FloatArray) -> Scatter:
    """Return the scatter chart of all ordered pairs that have a gain."""
    height, left, bottom = 320, 48, 36
    pairs = np.argwhere(~np.isnan(gain_PP))
    gains = [float(gain_PP[tuple(pair)]) for pair in pairs]
    distances = [float(distance_PP[tuple(pair)]) for pair in pairs]
    low, high = min([0.0, *gains]) - 0.005, max([0.0, *gains]) + 0.005

    def x(value: float) -> float:
        return place(value, 0, 1, left, WIDTH - _RIGHT_MARGIN)

    def y(value: float) -> float:
        return place(value, low, high, height - bottom, 8)

    return Scatter(
        height=height,
        x_ticks=[Tick(x(value), number(value), value == 0) for value in (0, 0.25, 0.5, 0.75, 1)],
        y_ticks=[Tick(y(value), _tick_points(value), value == 0) for value in round_ticks(low, high, num=6)],
        dots=[
            Dot(x(distance), y(gain), f"student {student}, teacher {teacher}: {points(gain)} points at {distance:.2f}")
            for (student, teacher), distance, gain in zip(pairs, distances, gains, strict=True)
        ],
    )


def bar_chart_data(counts: Mapping[str, int]) -> BarChart:
    """Return the chart of some counts in the given order."""
    most = max([1, *counts.values()])
    left = 16 + 7 * max(map(len, counts), default=0)
    longest = BAR_CHART_WIDTH - left - 48
    bars = [
        Bar(label, count, left, _ROW_HEIGHT * row, round(longest * count / most, 1))
        for row, (label, count) in enumerate(counts.items())
    ]
    return BarChart(height=_ROW_HEIGHT * len(counts), bars=bars)


def round_ticks(low: float, high: float, *, num: int) -> Sequence[float]:
    """Return about ``num`` round fractions from ``low`` to ``high``, multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / num
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def place(value: float, low: float, high: float, start: float, end: float) -> float:
    """Return where a value between low and high lies between start and end."""
    return round(start + (value - low) / (high - low) * (end - start), 1)


def _tick_points(fraction: float) -> str:
    return f"{100 * fraction:+g}" if fraction else "0"
