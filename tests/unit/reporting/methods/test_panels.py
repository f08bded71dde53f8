import numpy as np
import pytest

from peerkd.reporting.methods.panels import LineGroup, epoch_chart, method_panels, part_label, ramp
from peerkd.results.curves import Band


def band(*values, spread=0.0):
    mean = np.array(values, dtype=float)
    return Band(np.arange(1, len(mean) + 1), mean, mean - spread, mean + spread)


def line_group(label, *values, spread=0.0):
    found = band(*values, spread=spread)
    return LineGroup(label, "l0", [found], found if spread else None)


def test_a_line_has_the_means_and_an_area_the_extremes():
    chart = epoch_chart([line_group("a", 1, 2, spread=0.5)], unit="number")
    (series,) = chart.series
    (line,) = series.lines
    assert (line.xs, line.ys, line.title) == ([1, 2], [1, 2], "a: 2 after epoch 2")
    assert (series.area.lows, series.area.highs) == ([0.5, 1.5], [1.5, 2.5])
    assert chart.y.low <= 0.5
    assert chart.y.high >= 2.5


def test_an_axis_can_begin_at_zero():
    chart = epoch_chart([line_group("a", 5, 6)], unit="number", from_zero=True)
    assert chart.y.low == 0


def test_a_single_epoch_and_a_single_value_can_be_drawn():
    chart = epoch_chart([line_group("a", 0.5)], unit="number")
    assert chart.series[0].lines[0].xs == [1]
    assert (chart.x.low, chart.x.high, chart.x.unit) == (1, 2, "whole")
    assert epoch_chart([LineGroup("none", "l0", [], None)], unit="number") is None
    assert epoch_chart([line_group("a", 0.0, 0.0)], unit="number", from_zero=True) is not None


def test_long_trainings_are_drawn_with_few_points():
    chart = epoch_chart([line_group("a", *np.linspace(0, 1, 300))], unit="number")
    assert len(chart.series[0].lines[0].xs) == 80


def test_a_method_with_branches_has_three_charts(method_findings):
    found = method_panels(method_findings, "small_cnn", "pcl")
    assert len(found.panels) == 3
    accuracy, losses, _ = found.panels
    assert [(series.label, len(series.lines)) for series in accuracy.chart.series] == [
        ("baseline", 1),
        ("branch 1\N{EN DASH}3", 3),
        ("mean br. 1\N{EN DASH}3", 3),
        ("ensemble", 1),
    ]
    assert len(losses.chart.series) == 4
    assert len(method_panels(method_findings, "small_cnn", "plain").panels) == 2


def test_methods_with_one_ramp_share_its_line(method_findings):
    found = ramp(method_findings, "small_cnn")
    assert found.methods == [["ONE", "OKDDip", "PCL"]]
    assert len(found.chart.series) == 1


@pytest.mark.parametrize(
    ("part", "label"),
    [
        ("cross_entropy_branches", "CE branches"),
        ("means_to_branches", "means \N{RIGHTWARDS ARROW} branches"),
        ("other", "other"),
    ],
)
def test_parts_of_losses_have_short_names(part, label):
    assert part_label(part) == label
