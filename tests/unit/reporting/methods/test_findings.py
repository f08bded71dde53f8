import dataclasses
import json

import pytest

from peerkd.config.methods import METHODS
from peerkd.reporting.methods.findings import compute_findings
from peerkd.reporting.methods.headline import headline
from peerkd.reporting.methods.html import render
from peerkd.reporting.methods.tables import methods_csv, metrics, terminal_summary
from peerkd.results.curves import assemble
from peerkd.results.seeds import verdict
from tests.curves import MethodStudy


def test_a_planted_difference_is_found(method_findings):
    assert verdict(method_findings.over_baseline["small_cnn", "pcl"]) == "above"
    assert verdict(method_findings.over_baseline["small_cnn", "okddip"]) == "below"
    assert verdict(method_findings.over_baseline["small_cnn", "dml"]) == "undecided"


def test_each_comparison_is_counted(method_findings):
    assert len(method_findings.over_baseline) == 6
    assert [method for _, method in method_findings.main_over_others] == ["multi_view", "ema", "dml", "one", "okddip"]
    assert method_findings.num_comparisons == 11


def test_the_gain_of_the_mean_is_separated_from_that_of_the_distillation(method_findings):
    pair = "small_cnn", "pcl"
    parts = method_findings.from_mean[pair].value + method_findings.branch_over_baseline[pair].value
    assert parts == pytest.approx(method_findings.over_baseline[pair].value)
    assert [method for _, method in method_findings.from_mean] == ["ema", "pcl"]


def test_costs_are_averaged_over_seeds(method_findings):
    cost = method_findings.costs["small_cnn", "dml"]
    assert (cost.seconds.mean, cost.least_seconds, cost.most_seconds, cost.seconds.num) == (4, 2, 6, 5)
    assert cost.num_training_parameters == 3 * cost.num_deployed_parameters


def test_one_method_has_no_differences():
    study = MethodStudy(methods=("pcl",), num_seeds=2, epochs=2)
    found = compute_findings(study.table, study.facts)
    assert found.over_baseline == found.main_over_others == {}
    assert found.num_comparisons == 0
    assert found.from_mean
    assert not found.branch_over_baseline


def test_an_incomplete_study_is_refused():
    study = MethodStudy(methods=("plain", "pcl"), num_seeds=1, epochs=2)
    table = study.table.slice(0, 10)
    with pytest.raises(ValueError, match="must have"):
        compute_findings(table, study.facts)


@pytest.mark.parametrize(
    "lost",
    [{("plain", 0), ("pcl", 1)}, {("pcl", seed) for seed in range(5)}, {("plain", seed) for seed in range(5)}],
    ids=["some", "all of one method", "all of the baseline"],
)
def test_diverged_runs_are_reported_everywhere_and_are_in_no_mean(method_study, lost):
    rows = method_study.table.to_pylist()
    for row in rows:
        row["is_finite"] = (row["method"], row["seed"]) not in lost
        if row["split"] != "train" and not row["is_finite"]:
            row["value"] = None
    runs = tuple(
        dataclasses.replace(run, is_finite=(run.method, run.seed) not in lost) for run in method_study.facts.runs
    )
    facts = dataclasses.replace(method_study.facts, runs=runs)
    found = compute_findings(assemble(rows), facts)
    said = next(finding for finding in headline(found, facts) if finding.topic == "Diverged").texts["small_cnn"]
    for method in {method for method, _ in lost}:
        num = sum(each == method for each, _ in lost)
        assert f"{METHODS[method].title} for {num} of 5 seeds" in said
    text, page = terminal_summary(found, facts), render(found, facts)
    assert "diverged" in text
    assert "diverged" in page
    assert "nan" not in (text + methods_csv(found)).lower()
    json.dumps(metrics(found), allow_nan=False)
    assert metrics(found)["num_runs_diverged"] == len(lost)
    assert all(difference.num for difference in found.over_baseline.values())
