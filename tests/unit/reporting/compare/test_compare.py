"""The comparison of studies as text, tables and a page. Covers ``headline``, ``html`` and ``tables``."""

import csv
import io
import json

import numpy as np
import pytest

from peerkd.config.experiment import ExperimentConfig
from peerkd.reporting.compare import tables
from peerkd.reporting.compare.headline import headline
from peerkd.reporting.compare.html import render
from peerkd.reporting.facts import ComparedFacts
from peerkd.results.compared_studies import MeasuredStudy, Quantity, compare_studies
from tests.pages import Page

GAIN = Quantity("global gain, best setting", is_accuracy=False)
ACCURACY = Quantity("accuracy, PCL with <mlp>", is_accuracy=True)


def study(seed, gain, accuracy, **settings):
    return MeasuredStudy(
        run=f"run-{seed}{''.join(settings.values())}",
        seed=seed,
        settings=settings,
        peers="",
        values={GAIN: np.array(gain), ACCURACY: np.array(accuracy)},
    )


@pytest.fixture
def compared():
    first = [study(seed, 0.1 + seed / 100, 0.5, skew="iid") for seed in (0, 1)]
    second = [study(seed, 0.3 + seed / 50, 0.6 + seed / 10, skew="<natural>") for seed in (0, 1)]
    return compare_studies([*first, *second])


@pytest.fixture
def pooled():
    return compare_studies([study(seed, 0.1 + seed / 100, 0.5 + seed / 10) for seed in (0, 1, 2)])


# The differences of the gains are 0.20 and 0.21: the standard error is 0.005, and the quantile of t is 12.706.
DIFFERENCE = "+20.5 (+14.1 to +26.9), paired by seed"


def test_the_text_names_what_differs_and_all_means(compared):
    text = tables.terminal_summary(compared)
    assert text.startswith("4 studies in 2 groups, seeds 0, 1\n")
    assert "group 2: 2 seeds\n  skew = <natural>\n  runs: run-0<natural>, run-1<natural>" in text
    assert "  group 1               +10.5 (+4.1 to +16.9), n = 2 seeds" in text
    assert f"  group 2 - group 1     {DIFFERENCE}" in text
    assert "  group 1               50.0 %, n = 2 seeds" in text
    assert max(map(len, text.splitlines())) <= 80


def test_json_and_csv_have_the_same_numbers_as_fractions(compared):
    values = json.loads(json.dumps(tables.to_json(compared), allow_nan=False))
    assert values["fields_that_differ"] == ["skew"]
    first, second = values["quantities"][0]["groups"]
    assert (first["mean"]["value"], first["difference"]) == (pytest.approx(0.105), None)
    assert second["difference"]["basis"] == "seeds"
    assert second["by_seed"] == {"0": 0.3, "1": 0.32}
    rows = list(csv.DictReader(io.StringIO(tables.to_csv(compared))))
    assert len(rows) == 4
    assert float(rows[1]["difference"]) == pytest.approx(second["difference"]["value"]) == pytest.approx(0.205)
    assert (rows[1]["skew"], rows[1]["seeds"], rows[1]["difference_basis"]) == ("<natural>", "0 1", "seeds")
    assert (rows[0]["difference"], rows[2]["low"]) == ("", "")


def test_the_findings_say_what_is_beyond_noise(compared, pooled):
    (_, _), (topic, text) = headline(compared)
    assert topic == "Group 2"
    assert f"With skew=<natural>, global gain, best setting changes by {DIFFERENCE}, relative to group 1." in text
    assert text.endswith(
        "higher beyond noise: global gain, best setting; not distinguishable: accuracy, PCL with <mlp>."
    )
    said = dict(headline(pooled))
    assert said["Mean"] == "global gain, best setting, in points: +11.0 (+8.5 to +13.5) over 3 seeds."
    assert said["Spread"].startswith("The lowest value is that of seed 0, and the highest that of seed 2.")


def test_the_findings_do_not_judge_a_difference_without_an_interval():
    single = compare_studies([study(0, 0.1, 0.5, skew="iid"), study(0, 0.3, 0.6, skew="shards")])
    _, (_, text) = headline(single)
    assert "not distinguishable" not in text
    assert "no interval, because the groups share fewer than two seeds, or all differences are equal: global" in text


@pytest.mark.parametrize("name", ["compared", "pooled"])
def test_the_page_shows_every_number_and_escapes_names(name, request):
    comparison = request.getfixturevalue(name)
    page = render(comparison, ComparedFacts(pipeline="jointkd", config=ExperimentConfig()))
    text = " ".join(" ".join(Page(page).text).split())
    for quantity in comparison.quantities:
        assert quantity.title in text
        for group in comparison.groups:
            assert tables.estimate_in_words(quantity, group.estimate(quantity)) in text
            assert all(tables.value_in_words(quantity, value) in text for value in group.by_seed(quantity).values())
    assert "<mlp>" not in page
    assert "<natural>" not in page
    assert "nan" not in text
    if name == "compared":
        assert DIFFERENCE in text


def test_headline_numbers_name_their_units(pooled):
    assert tables.metrics(pooled) == {
        "num_seeds": 3.0,
        "global_gain_best_setting_points": pytest.approx(11.0),
        "accuracy_PCL_with__mlp__pct": pytest.approx(60.0),
    }
