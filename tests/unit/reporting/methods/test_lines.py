import re

import numpy as np
import pytest

from peerkd.reporting.methods.lines import HEIGHT, WIDTH, Strand, line_chart_data
from peerkd.reporting.methods.panels import method_panels, part_label, ramp
from peerkd.results.bands import Band


def band(*values, spread=0.0):
    mean = np.array(values, dtype=float)
    return Band(np.arange(1, len(mean) + 1), mean, mean - spread, mean + spread)


def strand(label, *values, spread=0.0):
    found = band(*values, spread=spread)
    return Strand(label, "l0", [found], found if spread else None)


def places(path):
    return [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", path)]


def test_higher_values_are_higher_and_later_ones_further_right():
    chart = line_chart_data([strand("a", 0.1, 0.5, 0.9)], write=str)
    points = places(chart.lines[0].path)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    assert all(0 <= x <= chart.right <= WIDTH and 0 <= y <= chart.bottom <= HEIGHT for x, y in points)


def test_a_band_goes_there_and_back():
    chart = line_chart_data([strand("a", 1, 2, spread=0.5)], write=str)
    (area,) = chart.areas
    assert len(places(area.path)) == 4
    assert area.path.endswith("Z")


def test_labels_of_lines_that_meet_do_not_lie_on_each_other():
    chart = line_chart_data([strand(name, 0.1, 0.9) for name in "abcd"], write=str)
    ys = sorted(label.y for label in chart.labels)
    assert min(np.diff(ys)) >= 13.9
    assert ys[-1] <= chart.bottom


def test_an_axis_can_begin_at_zero():
    chart = line_chart_data([strand("a", 5, 6)], write=str, from_zero=True)
    assert chart.y_ticks[0].is_zero
    assert chart.y_ticks[0].position == chart.bottom


def test_one_epoch_and_one_value_are_a_chart_too():
    chart = line_chart_data([strand("a", 0.5)], write=str)
    assert len(places(chart.lines[0].path)) == 1
    assert [tick.label for tick in chart.x_ticks][:1] == ["1"]
    assert line_chart_data([Strand("none", "l0", [], None)], write=str) is None
    assert line_chart_data([strand("a", 0.0, 0.0)], write=str, from_zero=True) is not None


def test_long_trainings_are_drawn_with_few_points():
    chart = line_chart_data([strand("a", *np.linspace(0, 1, 300))], write=str)
    assert len(places(chart.lines[0].path)) == 80


def test_a_method_with_branches_has_three_charts(method_findings):
    found = method_panels(method_findings, "small_cnn", "pcl")
    assert len(found.panels) == 3
    accuracy, losses, _ = found.panels
    assert [label.text for label in accuracy.chart.labels] == [
        "baseline",
        "branch 1\N{EN DASH}3",
        "mean br. 1\N{EN DASH}3",
        "ensemble",
    ]
    assert len(accuracy.chart.lines) == 1 + 3 + 3 + 1
    assert len(losses.chart.lines) == 4
    assert len(method_panels(method_findings, "small_cnn", "plain").panels) == 2


def test_methods_with_one_ramp_share_its_line(method_findings):
    found = ramp(method_findings, "small_cnn")
    assert found.methods == [["ONE", "OKDDip", "PCL"]]
    assert len(found.chart.lines) == 1


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
