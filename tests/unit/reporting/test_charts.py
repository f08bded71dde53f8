import numpy as np

from peerkd.reporting import charts
from peerkd.results.intervals import Estimate

NAN = np.nan


def test_an_axis_in_points_contains_zero_and_every_known_value():
    axis = charts.points_axis([0.02, NAN, 0.03])
    assert axis.low < 0
    assert axis.high > 0.03
    assert axis.unit == "points"
    assert charts.points_axis([]).low < 0 < charts.points_axis([]).high


def test_the_axis_of_intervals_contains_their_bounds():
    chart = charts.interval_chart({"a": Estimate(0.02, -0.01, 0.05, 90), "none": Estimate(NAN, NAN, NAN, 0)})
    assert chart.x.low < -0.01
    assert chart.x.high > 0.05
    assert [row.title for row in chart.rows] == ["a: +2.0 points", "none: n/a points"]


def test_every_pair_with_a_gain_is_a_dot():
    distance = np.array([[0, 0.5], [0.25, 0]])
    chart = charts.scatter_chart(
        distance, np.array([[NAN, 0.05], [-0.02, NAN]]), names=("0", "north"), distance_label="distance"
    )
    (series,) = chart.series
    assert series.dots == [
        charts.Dot(0.5, 0.05, "student 0, teacher north: +5.0 points at 0.50"),
        charts.Dot(0.25, -0.02, "student north, teacher 0: -2.0 points at 0.25"),
    ]
    assert chart.x.title == "distance"


def test_bars_keep_the_order_of_their_counts():
    assert charts.bar_chart({"2": 10, "1": 0}).bars == [("2", 10), ("1", 0)]
