import numpy as np
import pytest

from peerkd.reporting.choices.headline import headline, verdict
from peerkd.reporting.choices.tables import metrics, plan_csv
from tests.tables import Study
from tests.unit.reporting.choices.conftest import ROWS, SETTING, row

FACTS = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,), names=("0", "north", "2")).facts


def test_of_two_peers_the_one_with_the_larger_expected_gain_learns(concluded):
    assert [(advice.choice.student, advice.choice.teacher, advice.other_gain) for advice in concluded.plan] == [
        (1, 2, 0.0),
        (0, 1, 0.02),
    ]
    assert concluded.num_pairs_unchanged == 1


def test_any_setting_is_preferred_to_an_unchanged_student_in_the_plan(conclude):
    rows = [row(0, 1), row(1, 0, setting=SETTING)]
    (advice,) = conclude(rows).plan
    assert (advice.choice.student, advice.choice.expected_gain, advice.other_gain) == (1, None, 0.0)


def test_without_predictions_observed_gains_are_expected(conclude):
    rows = [{**each, "predicted_gain": None, "predicted_gain_deviation": None} for each in ROWS]
    findings = conclude(rows)
    assert [advice.choice.expected_gain for advice in findings.plan] == [0.07, None]
    assert np.isnan(findings.expected_PP[1, 2])
    assert findings.mean_expected.num == 5


def test_means_cover_all_pairs_and_test_gains_only_measured_ones(concluded):
    assert concluded.mean_expected.value == pytest.approx((0.03 + 0.02 + 0.06) / 6)
    assert (concluded.mean_test.value, concluded.mean_test.num) == (0.03, 1)
    assert concluded.mean_validation_of_tested.value == 0.05
    assert (concluded.num_pairs, concluded.num_distilled, len(concluded.untried_pairs)) == (6, 3, 3)


def test_the_headline_says_plan_gain_cost_and_what_was_not_tried(concluded):
    texts = {finding.topic: finding.text for finding in headline(concluded, FACTS)}
    assert list(texts) == ["Intervals", "Plan", "Gain", "Cost", "Experience", "Not tried"]
    setting = "transfer set both, T=4, alpha=0.9"
    assert f"north from peer 2 with {setting} (overruled: north should stay unchanged), +6.0 points" in texts["Plan"]
    assert "Learning from the teacher pays off in 3 of 6 ordered pairs, each judged alone" in texts["Gain"]
    assert (
        "In 0 of 6 ordered pairs, each judged alone, training on without a teacher pays off, and in 3 nothing"
        in texts["Plan"]
    )
    assert "no interval" not in texts["Gain"]
    assert (
        "9 trials, in full or in part, for 4.87 % of the cost of the full sweep without controls; the budget was 5 %"
        in texts["Cost"]
    )
    assert texts["Not tried"] == (
        "No setting was tried for 3 of 6 ordered pairs; for 1 of them, the gains of other pairs led to a choice. "
        "1 of 12 settings was never tried."
    )


def test_the_headline_says_whether_the_tuner_had_experience_and_if_not_why(conclude):
    texts = [
        next(
            finding.text
            for finding in headline(conclude(why_no_experience=why), FACTS)
            if finding.topic == "Experience"
        )
        for why in (None, "tune.experience is false")
    ]
    assert texts == [
        "The tuner started from experience: what full sweeps of digits had taught.",
        "The tuner started without the experience from full sweeps of digits, because tune.experience is false.",
    ]


def test_the_headline_says_if_nothing_helps(conclude):
    findings = conclude([row(0, 1, trials=2), row(1, 0, trials=2)], untried=())
    texts = {finding.topic: finding.text for finding in headline(findings, FACTS)}
    assert texts["Plan"].startswith("Neither peer gains from the other, judged alone")
    assert "their test accuracy is unknown" in texts["Gain"]
    assert "in 0 of 2 ordered pairs, each judged alone, so no gain is expected." in texts["Gain"]
    cost = verdict(findings, FACTS)[-1]
    assert cost.startswith("It took 9 trials, ")
    assert list(texts) == ["Intervals", "Plan", "Gain", "Cost", "Experience"]
    assert plan_csv(findings).count("\n") == 1


def test_the_plan_as_a_file_has_a_line_for_every_two_peers(concluded):
    lines = plan_csv(concluded).splitlines()
    called = plan_csv(concluded, [f"site {peer}" for peer in range(20)]).splitlines()
    assert called[0] == f"{lines[0]},student_name,teacher_name"
    student, teacher, *_ = lines[1].split(",")
    assert called[1] == f"{lines[1]},site {student},site {teacher}"
    assert lines[0].startswith("student,teacher,transfer_set,temperature,alpha,expected_gain")
    assert lines[1:] == [
        "1,2,both,4,0.9,0.06,,,,,,0.011,,,0,0,0",
        "0,1,both,4,0.9,0.03,-0.01,0.07,0.02,-0.01,0.05,0.011,0.05,0.03,3,20,0.02",
    ]


def test_missing_numbers_are_not_among_the_metrics(conclude, concluded):
    assert metrics(concluded)["expected_gain_points"] == pytest.approx(100 * 0.11 / 6)
    assert metrics(concluded)["num_pairs_not_tried"] == 3
    assert "tested_gain_points" not in metrics(conclude([row(0, 1), row(1, 0)]))
