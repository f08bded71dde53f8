"""Where the lines of a study's curve lie, in the coordinates of its SVG; the template only draws them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from peerkd.reporting.charts import WIDTH, Tick, place, round_ticks
from peerkd.reporting.wording import points

HEIGHT: Final = 260
_LEFT: Final = 48
_RIGHT: Final = 90
_BOTTOM: Final = 40
_LABELS: Final = {"mean_predicted_gain": "predicted", "mean_observed_gain": "observed"}


class CurveLine(NamedTuple):
    """One quantity over the cost."""

    label: str
    style: str
    path: str
    end_x: float
    end_y: float
    title: str


class CurveChart(NamedTuple):
    """Mean gain of the choices, in points, against the cost, in percent of the full sweep's."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[CurveLine]


def curve_chart_data(curve: Sequence[Mapping[str, Any]]) -> CurveChart | None:
    """Return the chart of a study's curve; None if there was no round."""
    if not curve:
        return None
    shares = [100 * row["spent_share"] for row in curve]
    series = {name: [row[name] for row in curve] for name in _LABELS if all(row[name] is not None for row in curve)}
    reached = [0.0, *(value for values in series.values() for value in values)]
    margin = 0.05 * (max(reached) - min(reached)) or 0.005
    low, high, most = min(reached) - margin, max(reached) + margin, max(shares)

    def x(share: float) -> float:
        return place(share, 0, most, _LEFT, WIDTH - _RIGHT)

    def y(gain: float) -> float:
        return place(gain, low, high, HEIGHT - _BOTTOM, 8)

    lines = []
    for name, gains in series.items():
        marks = [f"{x(share):g},{y(gain):g}" for share, gain in zip(shares, gains, strict=True)]
        title = f"{_LABELS[name]}: {points(gains[-1])} points for {shares[-1]:.2f} %"
        lines.append(CurveLine(_LABELS[name], _LABELS[name], f"M{' '.join(marks)}", x(shares[-1]), y(gains[-1]), title))
    return CurveChart(
        x_ticks=[Tick(x(value), f"{value:g} %", value == 0) for value in round_ticks(0, most, num=5)],
        y_ticks=[Tick(y(value), f"{100 * value:+g}" if value else "0", value == 0) for value in _ticks(low, high)],
        lines=_apart(lines),
    )


def _ticks(low: float, high: float) -> Sequence[float]:
    return [round(value, 9) for value in round_ticks(low, high, num=5)]


def _apart(lines: list[CurveLine]) -> list[CurveLine]:
    """Return the lines with their labels a letter's height apart."""
    if len(lines) == 2 and abs(lines[0].end_y - lines[1].end_y) < 14:
        upper, lower = sorted(lines, key=lambda line: line.end_y)
        middle = (upper.end_y + lower.end_y) / 2
        return [upper._replace(end_y=middle - 7), lower._replace(end_y=middle + 7)]
    return lines
