"""The charts of a tuned study: its gain against its cost, and global against own accuracy."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from peerkd.reporting.charts import Axis, Dot, Line, Series, XYChart, points_axis
from peerkd.reporting.wording import number, points
from peerkd.results.front import FrontPoint
from peerkd.study.splits import SPLITS

_QUANTITIES: Final = {"mean_predicted_gain": "predicted", "mean_observed_gain": "observed"}


def curve_chart(curve: Sequence[Mapping[str, Any]]) -> XYChart | None:
    """Return the chart of the mean gain of the choices against the cost, in percent of the full sweep's cost.

    The result is None if there are no iterations.
    """
    if not curve:
        return None
    costs_pct = [100 * row["spent_share"] for row in curve]
    gains = {name: [row[name] for row in curve] for name in _QUANTITIES if all(row[name] is not None for row in curve)}
    series = [
        Series(
            _QUANTITIES[name],
            _QUANTITIES[name],
            [Line(costs_pct, values, f"{_QUANTITIES[name]}: {points(values[-1])} points for {costs_pct[-1]:.2f} %")],
        )
        for name, values in gains.items()
    ]
    return XYChart(
        x=Axis(0, max(costs_pct), "number", title="cost, % of the full sweep's", has_grid=False),
        y=points_axis(value for values in gains.values() for value in values),
        series=series,
    )


def regret_chart(curve: Sequence[Mapping[str, Any]]) -> XYChart | None:
    """Return the chart of the regret against the cost, in percent of the full sweep's cost.

    The result is None if no iteration has an observed gain.

    The regret of an iteration is the mean observed gain of the final choices, minus the mean observed gain of the
    choices after this iteration. The final choices are the reference, because the best choices are unknown without a
    full sweep.
    """
    known = [row for row in curve if row["mean_observed_gain"] is not None]
    if len(known) < 2:
        return None
    costs_pct = [100 * row["spent_share"] for row in known]
    regrets = [known[-1]["mean_observed_gain"] - row["mean_observed_gain"] for row in known]
    return XYChart(
        x=Axis(0, max(costs_pct), "number", title="cost, % of the full sweep's", has_grid=False),
        y=points_axis(regrets),
        series=[Series("regret", "l0", [Line(costs_pct, regrets)])],
    )


def front_chart(front: Sequence[FrontPoint]) -> XYChart | None:
    """Return the chart of mean own gain against mean global gain, or None if no pair has a chosen setting."""
    if not any(point.num_distilled for point in front):
        return None
    # The line ends at the weight 0 of own accuracy, which is usually furthest to the right and has room for a label.
    series = [_front_series(list(reversed(front)), split) for split in SPLITS]
    dots = [dot for each in series for dot in each.dots]
    return XYChart(
        x=points_axis((dot.x for dot in dots), title="gain of global accuracy; upwards: of own accuracy"),
        y=points_axis(dot.y for dot in dots),
        series=series,
    )


def _front_series(front: Sequence[FrontPoint], split: str) -> Series:
    xs, ys = ([getattr(point, f"{split}_{scope}_gain") for point in front] for scope in ("global", "own"))
    dots = [
        Dot(x, y, f"{split}, own weight {number(point.own_weight)}: {points(x)} global, {points(y)} own")
        for point, x, y in zip(front, xs, ys, strict=True)
    ]
    return Series(split, split, [Line(xs, ys)], dots)
