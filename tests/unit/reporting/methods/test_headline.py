import math
from dataclasses import replace

import pytest

from peerkd.reporting.methods.findings import compute_findings
from peerkd.reporting.methods.headline import headline, how_sure
from peerkd.results.intervals import Estimate
from tests.curves import SKILL, MethodStudy


def said(study, **changes):
    findings = replace(compute_findings(study.table, study.facts), **changes)
    return {finding.topic: " ".join(finding.texts.values()) for finding in headline(findings, study.facts)}


def test_findings_are_stated_with_intervals_whether_they_hold_or_not(method_study):
    texts = said(method_study)
    assert "1 of 6 other methods above, 1 below, 4 undecided" in texts["Against the baseline"]
    assert "Above it, in points: PCL +2.54 (+1.06 to +4.02)" in texts["Against the baseline"]
    assert "Undecided: Several views only" in texts["Against the baseline"]
    assert "PCL: the mean of the weights over time is at" in texts["Mean over time"]
    assert "number of comparisons, 11" in texts["How sure"]


def test_a_negative_finding_is_stated_plainly(monkeypatch):
    monkeypatch.setitem(SKILL, "pcl", 0.85)
    texts = said(MethodStudy(methods=("plain", "multi_view", "pcl")))
    assert "No method is shown to be better than Plain training." in texts["Against the baseline"]
    assert "It is shown to be better than none of them." in texts["PCL against the others"]
    assert "Below it: PCL -" in texts["Against the baseline"]


def test_one_seed_has_no_verdict_and_the_findings_say_so():
    study = MethodStudy(num_seeds=1, epochs=3)
    texts = said(study)
    assert "No verdict" in texts["Against the baseline"]
    assert "No verdict" in texts["PCL against the others"]
    assert "The study has one seed" in texts["How sure"]
    assert "degrees of freedom" not in how_sure(compute_findings(study.table, study.facts), study.facts)


def test_a_difference_that_is_the_same_for_all_seeds_is_called_so():
    study = MethodStudy(num_seeds=2, epochs=3)
    for points, sentence in (
        (0.0, "the trained weights alone are as accurate for every seed as Plain training."),
        (0.01, "alone are at +1.00 points (the same for all seeds) not distinguishable from Plain training."),
    ):
        same = {("small_cnn", "ema"): Estimate(points, math.nan, math.nan, 2)}
        assert sentence in said(study, branch_over_baseline=same)["Mean over time"]


def test_a_single_method_is_not_compared():
    texts = said(MethodStudy(methods=("plain",), epochs=3))
    assert "No other method was run." in texts["Against the baseline"]
    assert list(texts) == ["Against the baseline", "How sure"]
    assert "nothing to compare" in texts["How sure"]


@pytest.mark.parametrize("baseline", ["pcl", "dml"])
def test_another_baseline_is_named(baseline):
    texts = said(MethodStudy(methods=("plain", "dml", "pcl"), baseline=baseline, epochs=3))
    assert texts["Against the baseline"].startswith({"pcl": "PCL reaches", "dml": "DML reaches"}[baseline])
    assert ("PCL against the others" in texts) == (baseline != "pcl")


def test_each_architecture_has_its_own_text():
    study = MethodStudy(architectures=("small_cnn", "mlp"), methods=("plain", "pcl"), epochs=3)
    first, *_ = headline(compute_findings(study.table, study.facts), study.facts)
    assert list(first.texts) == ["small_cnn", "mlp"]
