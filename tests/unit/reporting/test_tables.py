import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from peerkd.config.losses import loss_config
from peerkd.config.training import DistillConfig
from peerkd.reporting.findings import compute_findings
from peerkd.reporting.html import render
from peerkd.reporting.tables import metrics, pairs_csv, summary, terminal_summary
from peerkd.reporting.verdict import verdict
from tests.tables import Study


@pytest.fixture(scope="module")
def unlabelled():
    study = Study(num_peers=3, transfer_sets=("public_unlabelled",), name="no-labels")
    return study, compute_findings(study.table, study.facts)


def test_the_csv_has_a_line_for_each_ordered_pair(findings):
    rows = list(csv.DictReader(io.StringIO(pairs_csv(findings))))
    called = [f"site {peer}" for peer in range(max(int(row["student"]) for row in rows) + 1)]
    with_names = list(csv.DictReader(io.StringIO(pairs_csv(findings, called))))
    assert [(row["student_name"], row["teacher_name"]) for row in with_names] == [
        (called[int(row["student"])], called[int(row["teacher"])]) for row in rows
    ]
    assert pairs_csv(findings, list(map(str, range(len(called))))) == pairs_csv(findings)
    assert len(rows) == 90
    row = next(row for row in rows if (row["student"], row["teacher"]) == ("3", "7"))
    assert float(row["test_global_gain"]) == pytest.approx(findings.gains["chosen"][3, 7], rel=1e-5)
    assert float(row["default_test_global_gain"]) == pytest.approx(findings.gains["default"][3, 7], rel=1e-5)
    assert float(row["temperature"]) == findings.settings.temperature[3, 7]
    assert row["transfer_set"] == findings.settings.transfer_set[3, 7]
    assert row["is_default_recipe"] in ("0", "1")
    parts = float(row["test_global_gain_from_data"]) + float(row["test_global_gain_from_teacher"])
    assert parts == pytest.approx(float(row["test_global_gain"]), abs=1e-5)


def test_the_default_without_labels_is_named_and_lines_fit_a_terminal() -> None:
    study = Study(num_peers=10, transfer_sets=("student", "public_unlabelled"), alphas=(0.5,))
    lines = terminal_summary(compute_findings(study.table, study.facts), study.facts).splitlines()
    (line,) = [line for line in lines if line.startswith("pairs away")]
    assert line.startswith("pairs away from T=1, alpha=0.5 (without labels, divergence alone): ")
    assert max(map(len, lines)) <= 80


def test_missing_values_are_empty_in_the_csv(unlabelled):
    row = next(csv.DictReader(io.StringIO(pairs_csv(unlabelled[1]))))
    assert row["test_global_gain_from_teacher"] == row["control_test_global_gain"] == ""


def test_the_terminal_says_who_should_learn_as_the_page_does(study, findings):
    text = " ".join(terminal_summary(findings, study.facts).split())
    for sentence in verdict(study.facts)[:2]:
        assert sentence in text


def test_metrics_are_finite_floats(findings, unlabelled):
    for found in (findings, unlabelled[1]):
        assert all(isinstance(value, float) and math.isfinite(value) for value in metrics(found).values())
    assert metrics(findings)["chosen_gain_points"] == pytest.approx(100 * np.nanmean(findings.gains["chosen"]))
    assert "control_gain_points" not in metrics(unlabelled[1])


def test_the_summary_is_flat_and_can_be_written_as_json(study, findings):
    flat = summary(findings, study.facts)
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert flat["experiment"] == "simulated"
    assert (flat["tuned_over_default_ratio"] is None) == (flat["why_no_ratio"] is not None)


def test_the_summaries_name_the_loss():
    study = Study(num_peers=3, distill=DistillConfig(loss=loss_config("reverse_kl")))
    found = compute_findings(study.table, study.facts)
    assert str(summary(found, study.facts)["loss"]).startswith("reverse KL divergence, reduction batchmean, ")
    text = " ".join(terminal_summary(found, study.facts).split())
    assert "loss: reverse KL divergence, reduction batchmean, times T^2, teacher in eval mode, alpha weighs" in text


@pytest.mark.parametrize("which", ["study", "unlabelled"])
def test_the_terminal_shows_at_most_36_lines_of_80_columns(which, study, findings, unlabelled):
    study, findings = (study, findings) if which == "study" else unlabelled
    lines = terminal_summary(findings, study.facts).splitlines()
    assert 12 <= len(lines) <= 36
    assert max(map(len, lines)) <= 80
    assert "nan" not in "\n".join(lines)


@pytest.fixture(scope="module")
def with_rates():
    study = Study(num_peers=5, temperatures=(1.0, 4.0), alphas=(0.5, 0.9), learning_rates=(0.005, 0.02, 0.08))
    return study, compute_findings(study.table, study.facts)


def test_settings_name_their_learning_rate_if_there_are_several(with_rates, findings):
    study, found = with_rates
    rows = list(csv.DictReader(io.StringIO(pairs_csv(found))))
    assert [float(row["learning_rate"]) for row in rows] == [
        found.settings.learning_rate[pair] for pair in np.ndindex(5, 5) if pair[0] != pair[1]
    ]
    assert "learning_rate" not in pairs_csv(findings)
    assert sum(found.counts.dimensions["learning_rate"].values()) == 20
    assert list(found.counts.dimensions["learning_rate"]) == [0.005, 0.02, 0.08]
    flat = summary(found, study.facts)
    assert flat["default_setting"] == "transfer set student, T=1, alpha=0.5, learning rate 0.02"
    assert str(flat["single_setting"]).endswith(f"learning rate {found.single.learning_rate:g}")


def test_the_page_and_the_terminal_show_the_learning_rates(with_rates, study, findings):
    swept, found = with_rates
    page, text = render(found, swept.facts), terminal_summary(found, swept.facts)
    assert "learning rate 0.005, 0.02, 0.08; transfer set student, teacher, both." in page
    assert "The best temperature, alpha and learning rate differ from the default" in page
    assert "<figcaption>Learning rate</figcaption>" in page
    chosen = found.settings
    assert f"<small>{chosen.transfer_set[0, 1]}, {chosen.learning_rate[0, 1]:g}</small>" in page
    assert "pairs away from T=1, alpha=0.5, learning rate 0.02: " in text
    assert max(map(len, text.splitlines())) <= 80
    assert "earning rate<" not in render(findings, study.facts)


def test_the_teachers_part_is_measured_against_the_control_with_the_same_rate(with_rates):
    study, found = with_rates
    rows = {
        (row["student"], row["teacher"], row["transfer_set"], row["learning_rate"]): row["test_global_gain"]
        for row in study.table.to_pylist()
        if row["distillation_weight"] == 0
    }
    for student, teacher in ((0, 1), (3, 2), (4, 0)):
        name, rate = str(found.settings.transfer_set[student, teacher]), found.settings.learning_rate[student, teacher]
        whose = None if name == "student" else teacher
        assert found.gain_from_data[student, teacher] == rows[student, whose, name, rate]


def test_settings_name_their_loss_and_target_if_there_are_several():
    study = Study(
        num_peers=3,
        temperatures=(1.0, 4.0),
        alphas=(0.5,),
        losses=("kl", "dkd"),
        targets=("teacher", "class_counts+prior_adjusted"),
    )
    found = compute_findings(study.table, study.facts)
    page, text, flat = render(found, study.facts), terminal_summary(found, study.facts), summary(found, study.facts)
    rows = list(csv.DictReader(io.StringIO(pairs_csv(found))))
    assert [(row["loss"], row["target"]) for row in rows] == [
        (found.settings.loss[pair], found.settings.target[pair]) for pair in np.ndindex(3, 3) if pair[0] != pair[1]
    ]
    assert {name: sum(counts.values()) for name, counts in found.counts.dimensions.items()} == {"loss": 6, "target": 6}
    assert flat["default_setting"] == "transfer set student, T=1, alpha=0.5, loss kl, target teacher"
    assert str(flat["single_setting"]).endswith(f"loss {found.single.loss}, target {found.single.target}")
    assert "tried for each pair: loss kl, dkd; tried for each pair: target" in " ".join(text.split())
    assert "loss kl, dkd; target teacher, class_counts+prior_adjusted; transfer set student" in page
    assert "The best temperature, alpha, loss and target differ from the default" in page
    assert "transfer set with loss and target" in page
    assert "With loss dkd, D = tckd_weight" in page
    assert "D has hyper-parameters of its own: tckd_weight = 1 and nckd_weight = 8." in page
    assert "With target class_counts+prior_adjusted, p is made otherwise. The target is teacher and old self" in page


def test_the_page_shows_what_leaves_the_peers(study, findings):
    page = render(findings, study.facts)
    assert '<th scope="row">student</th><td class="num">0 bytes</td><td class="num">8.7 MiB</td>' in page
    assert "What leaves the peers" not in render(findings, replace(study.facts, moved={}))
