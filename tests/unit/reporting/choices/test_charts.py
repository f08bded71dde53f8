import pytest

from peerkd.reporting.choices.charts import curve_chart, front_chart, regret_chart
from tests.unit.reporting.choices.conftest import CURVE, FRONT, front_point, point


def test_the_curve_has_a_line_for_each_known_quantity():
    assert [series.label for series in curve_chart(CURVE).series] == ["predicted", "observed"]
    (observed,) = curve_chart([point(0, 0.01, 0.0, None)]).series
    assert observed.label == "observed"
    assert curve_chart([]) is None


def test_the_curve_shows_gains_against_costs_in_percent():
    chart = curve_chart([point(0, 0.01, 0.0, 0.0), point(1, 0.03, 0.02, 0.03)])
    ((line,),) = [series.lines for series in chart.series if series.label == "observed"]
    assert (line.xs, line.ys) == ([1, 3], [0, 0.02])
    assert line.title == "observed: +2.0 points for 3.00 %"
    assert (chart.x.low, chart.x.high) == (0, 3)


def test_the_regret_is_what_the_choices_fall_short_of_the_final_ones():
    chart = regret_chart([point(0, 0.01, 0.005, 0.0), point(1, 0.03, 0.02, 0.03), point(2, 0.04, None, 0.03)])
    ((line,),) = [series.lines for series in chart.series]
    assert line.xs == [1, 3]
    assert line.ys == pytest.approx([0.015, 0.0])
    assert regret_chart([point(0, 0.01, None, 0.0)]) is None


def test_the_front_has_a_line_for_each_split_that_ends_at_weight_zero():
    validation, test = front_chart(FRONT).series
    assert (validation.label, test.label) == ("validation", "test")
    assert validation.lines[0].xs == [0.0, 0.03, 0.04]
    assert validation.lines[0].ys == [0.02, 0.01, -0.02]
    assert validation.dots[1].title == "validation, own weight 0.5: +3.0 global, +1.0 own"


def test_without_any_choice_there_is_no_front():
    assert front_chart([front_point(0.0, (0, 0), (0, 0), num=0)]) is None
