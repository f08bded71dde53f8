"""Where the points of the front of two accuracies lie, in the coordinates of its SVG; the template only draws them."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from peerkd.reporting.charts import WIDTH, Dot, Tick, place, round_ticks
from peerkd.reporting.wording import number, points
from peerkd.results.front import FrontPoint

HEIGHT: Final = 300
_LEFT: Final = 48
_RIGHT: Final = 90
_BOTTOM: Final = 40
_LETTER_HEIGHT: Final = 14
_SPLITS: Final = ("validation", "test")


class FrontLine(NamedTuple):
    """The points of one split, joined in the order of their weights."""

    label: str
    path: str
    dots: list[Dot]
    label_y: float
    """Beside the first dot, where own accuracy has no weight and the line goes no further to the right."""


class FrontChart(NamedTuple):
    """Mean own gain (up) against mean global gain (to the right), in points."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[FrontLine]


def front_chart_data(front: Sequence[FrontPoint]) -> FrontChart | None:
    """Return the chart of a front; None if nothing is chosen under any weight."""
    if not any(point.num_distilled for point in front):
        return None
    gains = {split: [_gains(point, split) for point in front] for split in _SPLITS}
    x_low, x_high = _range([x for of_split in gains.values() for x, _ in of_split])
    y_low, y_high = _range([y for of_split in gains.values() for _, y in of_split])

    def at(gain: tuple[float, float]) -> tuple[float, float]:
        x = place(gain[0], x_low, x_high, _LEFT, WIDTH - _RIGHT)
        return x, place(gain[1], y_low, y_high, HEIGHT - _BOTTOM, 8)

    lines = []
    for split, of_split in gains.items():
        dots = [
            Dot(
                *at(gain),
                f"{split}, own weight {number(point.own_weight)}: {points(gain[0])} global, {points(gain[1])} own",
            )
            for point, gain in zip(front, of_split, strict=True)
        ]
        path = "M" + " ".join(f"{dot.x:g},{dot.y:g}" for dot in dots)
        lines.append(FrontLine(split, path, dots, dots[0].y))
    return FrontChart(
        x_ticks=[Tick(at((value, 0))[0], _label(value), value == 0) for value in _ticks(x_low, x_high)],
        y_ticks=[Tick(at((0, value))[1], _label(value), value == 0) for value in _ticks(y_low, y_high)],
        lines=_apart(lines),
    )


def _apart(lines: list[FrontLine]) -> list[FrontLine]:
    """Return the lines with their labels a letter's height apart."""
    upper, lower = sorted(lines, key=lambda line: line.label_y)
    middle, half = (upper.label_y + lower.label_y) / 2, max((lower.label_y - upper.label_y) / 2, _LETTER_HEIGHT / 2)
    return [upper._replace(label_y=middle - half), lower._replace(label_y=middle + half)]


def _gains(point: FrontPoint, split: str) -> tuple[float, float]:
    return getattr(point, f"{split}_global_gain"), getattr(point, f"{split}_own_gain")


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = 0.05 * (high - low) or 0.005
    return low - margin, high + margin


def _ticks(low: float, high: float) -> Sequence[float]:
    return [round(value, 9) for value in round_ticks(low, high, num=5)]


def _label(fraction: float) -> str:
    return f"{100 * fraction:+g}" if fraction else "0"
