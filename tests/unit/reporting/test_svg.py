import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from peerkd.reporting import svg
from peerkd.reporting.charts import (
    Area,
    Axis,
    Dot,
    Line,
    Series,
    Tick,
    XYChart,
    bar_chart,
    interval_chart,
)
from peerkd.results.intervals import Estimate

NAN = np.nan


def drawn(chart, draw=svg.panel, **options):
    return ElementTree.fromstring(draw(chart, "a chart", **options))


def found(root, tag, css=""):
    return [each for each in root.iter(tag) if each.get("class", "").startswith(css)]


def number(element, name):
    return float(element.get(name))


def places(path):
    return [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", path.get("d"))]


def chart_of(*series, x=(0, 1), y=(0, 1)):
    ticks = [Tick(0, "0"), Tick(1, "1")]
    return XYChart(Axis(*x, ticks, title="x"), Axis(*y, ticks), series)


def line(label, *values):
    return Series(label, "l0", [Line(np.linspace(0, 1, len(values)).tolist(), values, f"{label} title")])


def test_larger_values_are_higher_and_further_right():
    root = drawn(chart_of(line("a", 0.1, 0.5, 0.9)))
    (path,) = found(root, "path", "line")
    points = places(path)
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)
    *_, width, height = map(float, root.get("viewBox").split())
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    assert path.find("title").text == "a title"


def test_an_area_follows_its_upper_and_then_its_lower_bound():
    root = drawn(chart_of(Series("a", "l0", area=Area([0, 1], [0.1, 0.2], [0.5, 0.6]))))
    (area,) = found(root, "path", "band")
    assert len(places(area)) == 4
    assert area.get("d").endswith("Z")


def test_labels_of_lines_that_meet_do_not_overlap():
    root = drawn(chart_of(*(line(name, 0.1, 0.9) for name in "abcd")))
    heights = sorted(number(each, "y") for each in found(root, "text", "name"))
    assert min(after - before for before, after in pairwise(heights)) >= 13.9
    assert [each.text for each in found(root, "text", "name")] == list("abcd")


def test_labels_stay_within_their_limits_if_they_fit():
    assert svg.spread_out([0, 0, 100, 100], low=0, high=100) == pytest.approx([0, 14, 86, 100])


def test_the_line_at_zero_differs_from_the_grid():
    root = drawn(chart_of(line("a", 0, 1)))
    (zero_x, zero_y) = found(root, "line", "zero")
    assert zero_x.get("y1") == zero_x.get("y2") or zero_y.get("x1") == zero_y.get("x2")
    assert len(found(root, "line", "grid")) == 2


def test_an_axis_may_have_no_grid():
    plain = XYChart(Axis(0, 1, [Tick(0, "0")], has_grid=False), Axis(0, 1, [Tick(0, "0")]), [])
    assert len(found(drawn(plain), "line")) == 1


def test_dots_are_at_their_values():
    root = drawn(chart_of(Series("", "pairs", dots=[Dot(0.5, 0.2, "low"), Dot(0.5, 0.8, "high")])))
    low, high = found(root, "circle", "dot pairs")
    assert low.get("cx") == high.get("cx")
    assert number(high, "cy") < number(low, "cy")
    assert high.find("title").text == "high"


def test_an_interval_surrounds_its_value_in_its_row():
    chart = interval_chart(
        {"a": Estimate(0.02, 0.01, 0.03, 90), "none": Estimate(NAN, NAN, NAN, 0), "b": Estimate(-0.01, NAN, NAN, 2)}
    )
    root = drawn(chart, svg.interval_chart)
    first, second = found(root, "circle")
    (whisker,) = found(root, "line", "whisker")
    assert number(whisker, "x1") < number(first, "cx") < number(whisker, "x2") <= 560
    assert number(second, "cy") > 2 * number(first, "cy")  # The row without a value is empty.
    (zero,) = found(root, "line", "zero")
    assert number(second, "cx") < number(zero, "x1") < number(whisker, "x1")


def test_the_length_of_a_bar_is_proportional_to_its_count():
    root = drawn(bar_chart({"1": 10, "2": 5, "public_unlabelled": 0}), svg.bar_chart)
    bars = found(root, "rect")
    longest = number(bars[0], "width")
    assert [number(bar, "width") / longest for bar in bars] == pytest.approx([1, 0.5, 0], abs=0.01)
    assert number(bars[0], "x") + longest < 340
    (empty,) = found(drawn(bar_chart({"1": 0}), svg.bar_chart), "rect")
    assert number(empty, "width") == 0


def test_names_cannot_break_out_of_a_chart():
    hostile = '</text><script>alert("1")</script>'
    markup = svg.xy_chart(chart_of(line(hostile, 0, 1)), '"><script>', height=200)
    assert "<script>" not in markup
    assert ElementTree.fromstring(markup).get("aria-label") == '"><script>'


def test_negative_numbers_have_a_minus_sign_and_not_a_hyphen():
    root = drawn(XYChart(Axis(-1, 1, [Tick(-1, "-1")]), Axis(0, 1, []), []))
    assert [each.text for each in found(root, "text", "tick")] == ["\N{MINUS SIGN}1", None]
