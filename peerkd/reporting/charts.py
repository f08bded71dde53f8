"""Charts as data: axes and marks in the units of their values. The script of the page draws them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.reporting.wording import points
from peerkd.results.intervals import Estimate
from peerkd.wording import plural

MAX_ARROWS: Final = 100
"""The maximum number of arrows in a chart of peers."""

_MARGIN_FRACTION: Final = 0.05
"""The margin of an axis of differences at each end, as a fraction of the range of the values."""

_MARGIN_WITHOUT_RANGE: Final = 0.005


Unit: TypeAlias = Literal["points", "percent", "number", "whole"]
"""How the values of an axis are written: fractions in points with their signs, fractions in percent, numbers, or whole
numbers."""


class Axis(NamedTuple):
    """The range of an axis, and how its values are written."""

    low: float
    high: float
    unit: Unit
    title: str = ""
    has_grid: bool = True
    """Whether a line crosses the chart at each tick."""


class Line(NamedTuple):
    """Points that are joined in their order. The title says in words what the line is."""

    xs: Sequence[float]
    ys: Sequence[float]
    title: str = ""


class Dot(NamedTuple):
    """A single point. Its title describes it in words."""

    x: float
    y: float
    title: str


class Area(NamedTuple):
    """The area between two lines over the same x values."""

    xs: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]


class Series(NamedTuple):
    """Marks of one kind in one style. If the series has lines, its label stands next to the end of the lines."""

    label: str
    style: str
    """The name of the style of the marks. The script of the page defines the colours and dashes of each style."""

    lines: Sequence[Line] = ()
    dots: Sequence[Dot] = ()
    area: Area | None = None


class XYChart(NamedTuple):
    """Series over two axes. The first series lies behind the others."""

    x: Axis
    y: Axis
    series: Sequence[Series]


class Interval(NamedTuple):
    """A row of an interval chart: a value with its bounds, which are NaN if no interval exists."""

    label: str
    estimate: Estimate
    title: str


class IntervalChart(NamedTuple):
    """Values with their intervals, one below the other on one axis. A row without a value stays empty."""

    x: Axis
    rows: Sequence[Interval]


class BarChart(NamedTuple):
    """Labelled counts or shares, one bar below the other."""

    bars: Sequence[tuple[str, float]]
    unit: Unit = "whole"


class Arrow(NamedTuple):
    """An arrow from a teacher to a student. Both are indices of peers."""

    student: int
    teacher: int
    gain: float
    """The gain of the student as a fraction. A larger gain makes the arrow wider."""

    is_decided: bool
    """Whether the student should learn from the teacher. If not, learning from it pays off only if the pair is
    judged alone."""


class NetworkChart(NamedTuple):
    """Peers on a circle, with arrows from teachers to students."""

    peers: Sequence[str]
    arrows: Sequence[Arrow]
    """The arrows: first those with ``is_decided``, then the others. In both groups, the largest gain comes first."""

    gain_noun: str
    """Words that follow a gain in points, such as ``on test`` or ``expected``."""

    num_drawn: int
    """The number of arrows that are drawn, counted from the first one."""


def interval_chart(estimates: Mapping[str, Estimate], *, write: Callable[[float], str] = points) -> IntervalChart:
    """Return the chart of gains by label, in the given order.

    Args:
        estimates: The gains as fractions.
        write: A function that takes a gain as a fraction and returns its text in points.
    """
    rows = [
        Interval(label, estimate, f"{label}: {write(estimate.value)} points") for label, estimate in estimates.items()
    ]
    bounds = (bound for estimate in estimates.values() for bound in (estimate.value, estimate.low, estimate.high))
    return IntervalChart(points_axis(bounds), rows)


def scatter_chart(
    distance_PP: FloatArray, gain_PP: FloatArray, *, names: Sequence[str], distance_label: str
) -> XYChart:
    """Return the chart of gain against distance, with a dot for each ordered pair that has a gain.

    Args:
        distance_PP: (num_peers, num_peers) distances from 0 to 1.
        gain_PP: (num_peers, num_peers) gains as fractions, NaN where a pair has none.
        names: What each peer is called.
        distance_label: Title of the axis of distances.
    """
    dots = []
    for student, teacher in np.argwhere(~np.isnan(gain_PP)).tolist():
        gain, distance = float(gain_PP[student, teacher]), float(distance_PP[student, teacher])
        title = f"student {names[student]}, teacher {names[teacher]}: {points(gain)} points at {distance:.2f}"
        dots.append(Dot(distance, gain, title))
    return XYChart(
        x=Axis(0, 1, "number", title=distance_label, has_grid=False),
        y=points_axis(dot.y for dot in dots),
        series=[Series("", "pairs", dots=dots)],
    )


def bar_chart(counts: Mapping[str, int]) -> BarChart:
    """Return the chart of counts by label, in the given order."""
    return BarChart(list(counts.items()))


def share_chart(shares: Mapping[str, float]) -> BarChart:
    """Return the chart of shares, which are fractions, by label in the given order."""
    return BarChart(list(shares.items()), "percent")


def network_chart(
    peers: Sequence[str],
    gain_PP: FloatArray,
    *,
    decided: Iterable[tuple[int, int]],
    alone: Iterable[tuple[int, int]],
    gain_noun: str,
) -> NetworkChart:
    """Return the chart of all peers with an arrow for each of the given pairs.

    Args:
        peers: What each peer is called.
        gain_PP: (num_peers, num_peers) gains as fractions, student by teacher.
        decided: Student and teacher of each peer that should learn from a teacher. A missing gain counts as 0.
        alone: Student and teacher of each pair in which learning from the teacher pays off if the pair is judged
            alone. A pair without a gain has no arrow.
        gain_noun: Words that follow a gain in points, such as ``on test`` or ``expected``.
    """
    chosen = set(decided)
    arrows = [Arrow(*pair, float(np.nan_to_num(gain_PP[pair])), True) for pair in sorted(chosen)]
    arrows += [
        Arrow(*pair, float(gain_PP[pair]), False)
        for pair in alone
        if pair not in chosen and not math.isnan(gain_PP[pair])
    ]
    ordered = sorted(arrows, key=lambda arrow: (not arrow.is_decided, -arrow.gain))
    return NetworkChart(peers, ordered, gain_noun, min(MAX_ARROWS, len(arrows)))


def network_note(chart: NetworkChart) -> str:
    """Return in words what the arrows in the chart of peers stand for."""
    if not chart.arrows:
        return "There is no arrow, because no peer should learn from a teacher."
    num_decided = sum(arrow.is_decided for arrow in chart.arrows)
    num_alone = len(chart.arrows) - num_decided
    parts = ["There is no solid arrow, because no peer should learn from a teacher."]
    if num_decided:
        parts = [
            f"A solid arrow leads to {f'each of {num_decided:,} peers' if num_decided > 1 else 'the peer'} that should "
            "learn, from its teacher. Its width is the gain of the student. Without a gain it is thin and grey."
        ]
    if num_alone:
        parts.append(
            f"A dashed arrow is not advice ({plural(num_alone, 'pair')}): if the pair is judged by its own trainings "
            "alone, learning from the teacher pays off, but the decision for the student, among the trainings of all "
            "its pairs, is another one."
        )
    if len(chart.arrows) > chart.num_drawn:
        parts.append(f"The {chart.num_drawn:,} first are drawn: solid before dashed, and wide before thin.")
    return " ".join(parts)


def points_axis(values: Iterable[float], *, title: str = "") -> Axis:
    """Return an axis in points that contains 0 and all values that are not NaN; the values are fractions."""
    known = [0.0, *(value for value in values if not math.isnan(value))]
    low, high = min(known), max(known)
    margin = _MARGIN_FRACTION * (high - low) or _MARGIN_WITHOUT_RANGE
    low, high = low - margin, high + margin
    return Axis(low, high, "points", title=title)
