import dataclasses

import numpy as np
import pytest

from peerkd.reporting.findings import compute_findings
from peerkd.reporting.headline import headline, remarks, verdict
from peerkd.reporting.html import render
from peerkd.reporting.tables import terminal_summary
from peerkd.results.intervals import Estimate
from peerkd.results.pairs import Ratio
from peerkd.results.without_tuning import WithoutTuning
from tests.pages import Page
from tests.tables import Study


def test_three_to_eight_findings_are_named(study, findings):
    named = headline(findings, study.facts)
    assert 3 <= len(named) <= 8
    assert len({finding.topic for finding in named}) == len(named)


def test_an_interval_with_zero_is_said_to_be_indistinguishable_from_zero():
    assert "not distinguishable from 0" in verdict(Estimate(0.01, -0.01, 0.03, 90))
    assert verdict(Estimate(0.02, 0.01, 0.03, 90)) == "a gain beyond noise"
    assert "loss" in verdict(Estimate(-0.02, -0.03, -0.01, 90))
    assert verdict(Estimate(0.02, np.nan, np.nan, 6)) == ""


def test_two_peers_have_no_intervals_and_no_broken_sentences():
    study = Study(num_peers=2, temperatures=(1.0, 4.0), alphas=(0.5,))
    findings = compute_findings(study.table, study.facts)
    named = headline(findings, study.facts)
    text = " ".join(finding.text for finding in named)
    assert named[0].text.startswith("With fewer than 4 peers, no interval can be given")
    assert text.count("interval") == text.count("90 % interval") + 1
    assert "1 pair of peers." in text
    page = render(findings, study.facts)
    assert "no interval points" not in page
    assert "(95 % interval)" not in page
    assert "1 pairs" not in page
    assert "95 % interval" not in terminal_summary(findings, study.facts)
    assert terminal_summary(findings, study.facts).count("no interval") == 1


def test_a_remark_has_the_verdict_and_the_number_of_pairs_that_exist():
    assert remarks(Estimate(0.02, 0.01, 0.03, 90), "pair") == " (a gain beyond noise; n = 90 pairs)"
    assert remarks(Estimate(0.02, np.nan, np.nan, 1), "pair") == " (n = 1 pair)"
    assert remarks(Estimate(0.02, np.nan, np.nan, 1)) == ""


def test_tuning_without_a_gain_is_not_recommended(study, findings):
    nothing = Estimate(0.001, -0.004, 0.006, 90)
    comparison = dataclasses.replace(
        findings.comparison, tuned_over_default=nothing, ratio=Ratio(value=None, reason="of the reason")
    )
    text = {
        finding.topic: finding.text
        for finding in headline(dataclasses.replace(findings, comparison=comparison), study.facts)
    }["Tuning"]
    assert "+0.1 points (-0.4 to +0.6) over the default, not distinguishable from 0" in text
    assert "The ratio of the two gains is not reported: of the reason." in text


def test_tuning_is_compared_with_another_loss_only_if_one_was_tried(study, findings):
    assert findings.without_tuning is None
    topic = "Tuning or another loss"
    assert topic not in [finding.topic for finding in headline(findings, study.facts)]
    measured = WithoutTuning(
        other=("dts", "mean"),
        untuned=Estimate(0.001, np.nan, np.nan, 90),
        tuned=Estimate(0.012, 0.01, 0.014, 90),
        with_other=Estimate(0.031, 0.02, 0.04, 90),
        both=Estimate(0.033, 0.02, 0.045, 90),
        other_over_tuned=Estimate(0.019, 0.01, 0.028, 90),
    )
    several = dataclasses.replace(findings, without_tuning=measured)
    text = {finding.topic: finding.text for finding in headline(several, study.facts)}[topic]
    assert text == (
        "On transfer set student, where the untuned default changes accuracy by +0.1 points, its loss and target with "
        "T and alpha tuned for each pair change it by +1.2 points (+1.0 to +1.4), no tuning but loss dts and target "
        "mean for all pairs by +3.1 points (+2.0 to +4.0), and both together by +3.3 points (+2.0 to +4.5): no tuning "
        "but loss dts and target mean brings +1.9 points (+1.0 to +2.8) over tuning, a gain beyond noise."
    )
    alone = dataclasses.replace(findings, without_tuning=dataclasses.replace(measured, other=("dts", None)))
    assert "no tuning but loss dts for all pairs" in headline(alone, study.facts)[3].text


def test_a_teacher_without_an_effect_gets_no_credit():
    study = Study(teaching=0.0, num_peers=6, temperatures=(1.0, 4.0), alphas=(0.1, 0.5))
    findings = compute_findings(study.table, study.facts)
    assert not findings.tuned_over_control.is_above_zero
    text = {finding.topic: finding.text for finding in headline(findings, study.facts)}["Teacher or data"]
    assert verdict(findings.tuned_over_control) in text


def test_one_transfer_set_is_not_compared_with_itself():
    study = Study(num_peers=4, transfer_sets=("both",), temperatures=(1.0,), alphas=(0.5,))
    findings = compute_findings(study.table, study.facts)
    assert "Forgetting" not in [finding.topic for finding in headline(findings, study.facts)]


def test_pairs_that_chose_a_set_without_labels_are_said_to_have_no_control():
    study = Study(num_peers=4, transfer_sets=("student", "public_unlabelled"), alphas=(0.5,))
    findings = compute_findings(study.table, study.facts)
    num_without = findings.counts.num_without_labels
    assert 1 < num_without < 12
    assert findings.mean_gain_from_data.num == 12 - num_without
    text = {finding.topic: finding.text for finding in headline(findings, study.facts)}["Teacher or data"]
    assert f"; {num_without} pairs chose a set without labels, which allows no fine-tuning)" in text
    assert f"(n = {12 - num_without} pairs;" in text
    assert "its fine-tuning without a teacher on the best transfer set with labels." in text


def test_without_any_labels_only_the_unchanged_student_is_to_be_beaten():
    study = Study(num_peers=4, transfer_sets=("public_unlabelled",))
    findings = compute_findings(study.table, study.facts)
    text = {finding.topic: finding.text for finding in headline(findings, study.facts)}["Teacher or data"]
    assert "every distillation is at best equal to the unchanged student on validation" in text
    assert "fine-tuning" not in text


@pytest.mark.parametrize("transfer_sets", [("student", "public_unlabelled"), ("public_unlabelled",)])
def test_a_control_that_imitates_the_old_self_is_not_called_fine_tuning(transfer_sets):
    study = Study(num_peers=4, transfer_sets=transfer_sets, alphas=(0.5,), targets=("teacher", "student"))
    findings = compute_findings(study.table, study.facts)
    rows = study.table.take(findings.choice.control[findings.choice.control >= 0])
    assert findings.num_imitations == sum(target == "student" for target in rows["target"].to_pylist()) > 0
    text = {finding.topic: finding.text for finding in headline(findings, study.facts)}["Teacher or data"]
    assert " over the best training without a teacher" in text
    assert "to the unchanged student or to its best training without a teacher." in text
    assert "  best training without a teacher " in terminal_summary(findings, study.facts)
    page = " ".join(Page(render(findings, study.facts)).text)
    assert "Best training without a teacher" in page
    assert f"an imitation of the student's old self for {findings.num_imitations} of 12 pairs" in page
    assert "Fine-tuning without a teacher" not in page
