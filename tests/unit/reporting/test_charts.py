import numpy as np
import pytest

from peerkd.reporting import charts
from peerkd.results.intervals import Estimate

NAN = np.nan


def test_ticks_are_round_and_inside():
    assert charts.round_ticks(-0.031, 0.042, num=5) == pytest.approx([-0.02, 0.0, 0.02, 0.04])
    assert 0 in charts.round_ticks(-0.001, 0.9, num=5)


def test_an_interval_lies_around_its_value_in_its_row():
    chart = charts.interval_chart_data(
        {"a": Estimate(0.02, 0.01, 0.03, 90), "none": Estimate(NAN, NAN, NAN, 0), "b": Estimate(-0.01, NAN, NAN, 2)}
    )
    first, second = chart.whiskers
    assert first.low < first.x < first.high <= charts.WIDTH
    assert second.low == second.x == second.high < first.x
    assert second.y > 2 * first.y  # the row of what has no value stays empty
    (zero,) = [tick for tick in chart.ticks if tick.is_zero]
    assert second.x < zero.position < first.low


def test_every_pair_is_a_dot_and_higher_gains_are_higher():
    distance = np.array([[0, 0.5], [0.5, 0]])
    scatter = charts.scatter_data(distance, np.array([[NAN, 0.05], [-0.02, NAN]]))
    up, down = scatter.dots
    assert up.x == down.x
    assert up.y < down.y < scatter.height
    assert up.title == "student 0, teacher 1: +5.0 points at 0.50"


def test_bars_are_as_long_as_their_counts():
    chart = charts.bar_chart_data({"1": 10, "2": 5, "public_unlabelled": 0})
    assert [bar.width / chart.bars[0].width for bar in chart.bars] == pytest.approx([1, 0.5, 0], abs=0.01)
    assert chart.bars[0].x + chart.bars[0].width < charts.BAR_CHART_WIDTH
    assert charts.bar_chart_data({"1": 0}).bars[0].width == 0
