import json
import math
import re

import numpy as np

from peerkd.reporting import figures
from peerkd.reporting.charts import (
    Axis,
    Dot,
    Line,
    Series,
    XYChart,
    bar_chart,
    interval_chart,
    network_chart,
    network_note,
    share_chart,
)
from peerkd.results.intervals import Estimate
from tests.pages import Page

NAN = math.nan


def spec(markup):
    """The description of a chart that an element contains."""
    return json.loads(re.search(r"<script type=\"application/json\">(.*)</script>", str(markup)).group(1))


def test_a_chart_keeps_its_values_and_says_what_it_shows():
    series = Series("a", "l0", [Line([0, 1], [0.25, 0.5], "a: 0.5")], [Dot(0.5, -0.1, "a dot")])
    found = figures.xy_chart(
        XYChart(Axis(0, 1, "whole", "epoch"), Axis(0, 1, "percent"), [series]), "Curve", height=200
    )
    described = spec(found)
    assert (described["kind"], described["label"], described["height"]) == ("xy", "Curve", 200)
    assert described["x"] == {"low": 0, "high": 1, "unit": "whole", "title": "epoch", "has_grid": True}
    assert described["series"][0]["lines"] == [{"xs": [0, 1], "ys": [0.25, 0.5], "title": "a: 0.5"}]
    assert described["series"][0]["dots"] == [{"x": 0.5, "y": -0.1, "title": "a dot"}]
    assert Page(found).open == []


def test_numbers_that_are_not_finite_are_null():
    described = spec(figures.interval_chart(interval_chart({"a": Estimate(0.1, NAN, math.inf, 3)}), "Gains"))
    assert described["rows"][0]["estimate"] == {"value": 0.1, "low": None, "high": None, "num": 3}


def test_bars_are_counts_or_shares():
    assert spec(figures.bar_chart(bar_chart({"1": 2}), "Counts"))["unit"] == "whole"
    assert spec(figures.bar_chart(share_chart({"alpha": 0.5}), "Shares")) == {
        "kind": "bars",
        "label": "Shares",
        "bars": [["alpha", 0.5]],
        "unit": "percent",
    }


def test_a_network_has_the_pairs_with_a_gain_the_largest_first():
    gains = [[NAN, 0.1, NAN], [0.3, NAN, 0.2], [0.0, 0.0, NAN]]
    chart = network_chart(
        ["a", "b", "c"], np.array(gains), decided=[], alone=[(0, 1), (1, 0), (0, 2)], gain_noun="on test"
    )
    assert [tuple(arrow) for arrow in chart.arrows] == [(1, 0, 0.3, False), (0, 1, 0.1, False)]
    assert spec(figures.network(chart, "Network"))["peers"] == ["a", "b", "c"]


def test_decided_arrows_come_first_and_each_pair_has_one_arrow():
    gains = [[NAN, 0.1, NAN], [0.3, NAN, 0.2], [0.0, 0.0, NAN]]
    decided, alone = [(0, 1), (0, 2)], [(0, 1), (1, 0)]
    chart = network_chart(["a", "b", "c"], np.array(gains), decided=decided, alone=alone, gain_noun="on test")
    assert [tuple(arrow) for arrow in chart.arrows] == [(0, 1, 0.1, True), (0, 2, 0.0, True), (1, 0, 0.3, False)]


def test_the_note_of_a_network_tells_advice_from_pairs_alone():
    gains = np.full((12, 12), 0.1)
    pairs = [(student, teacher) for student in range(12) for teacher in range(12) if student != teacher]

    def note(decided, alone):
        chart = network_chart(["a"] * 12, gains, decided=decided, alone=alone, gain_noun="on test")
        return network_note(chart)

    assert note([], []) == "There is no arrow, because no peer should learn from a teacher."
    assert "dashed" not in note([(0, 1)], [(0, 1)])
    assert note([(0, 1)], []).startswith("A solid arrow leads to the peer that should learn, from its teacher.")
    assert note([], [(0, 1)]).startswith("There is no solid arrow, because no peer should learn from a teacher. A dash")
    assert "A dashed arrow is not advice (2 pairs): if the pair is judged by its own" in note([(0, 1)], pairs[:3])
    assert "are drawn" not in note([], pairs[:100])
    assert note([], pairs[:101]).endswith("The 100 first are drawn: solid before dashed, and wide before thin.")


def test_names_cannot_leave_their_chart():
    hostile = '</script><b onclick="x">&'
    found = str(figures.bar_chart(bar_chart({hostile: 1}), hostile))
    assert "<b" not in found.replace("&lt;b", "")
    assert found.count("</script>") == 1
    assert spec(found)["bars"] == [[hostile, 1]]
    assert spec(found)["label"] == hostile
