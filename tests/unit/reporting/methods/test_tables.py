import csv
import io
import json
import math
from typing import get_args

import pytest

from peerkd.config.methods import Method
from peerkd.reporting.methods.findings import compute_findings
from peerkd.reporting.methods.tables import methods_csv, metrics, summary, terminal_summary
from tests.curves import MethodStudy


@pytest.fixture(scope="module")
def single():
    study = MethodStudy(methods=get_args(Method), num_seeds=1, epochs=2)
    return study, compute_findings(study.table, study.facts)


def test_the_csv_has_a_line_for_each_kind_of_accuracy(method_findings):
    rows = list(csv.DictReader(io.StringIO(methods_csv(method_findings))))
    assert len(rows) == len(method_findings.comparison.scores)
    (row,) = [row for row in rows if (row["method"], row["role"]) == ("pcl", "deployed")]
    difference = method_findings.over_baseline["small_cnn", "pcl"]
    assert (row["predictor"], row["num_seeds"], row["verdict"]) == ("mean_branch_1", "5", "above")
    assert [float(row[name]) for name in ("difference", "low", "high")] == pytest.approx(
        [difference.value, difference.low, difference.high], rel=1e-5
    )


def test_missing_values_are_empty_in_the_csv(single):
    rows = list(csv.DictReader(io.StringIO(methods_csv(single[1]))))
    assert rows[0]["standard_deviation"] == rows[0]["difference"] == rows[0]["verdict"] == ""
    assert rows[-1]["difference"] != ""
    assert rows[-1]["low"] == ""


def test_metrics_are_finite_floats_with_short_names(method_findings, single):
    for found in (method_findings, single[1]):
        values = metrics(found)
        assert all(isinstance(value, float) and math.isfinite(value) for value in values.values())
        assert max(map(len, values)) <= 64
    assert metrics(method_findings)["small_cnn_pcl_over_baseline_low_points"] > 0
    assert "small_cnn_pcl_over_baseline_low_points" not in metrics(single[1])


def test_the_summary_is_flat_and_can_be_written_as_json(method_study, method_findings):
    flat = summary(method_findings, method_study.facts)
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert (flat["baseline"], flat["num_runs"]) == ("plain", 35)


@pytest.mark.parametrize("which", ["several", "single"])
def test_the_terminal_shows_lines_of_eighty_columns(which, method_study, method_findings, single):
    study, findings = (method_study, method_findings) if which == "several" else single
    text = terminal_summary(findings, study.facts)
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text
    assert text.isascii()
    assert text.count("no interval") == (which == "single")
    assert ("no verdict: a difference over one seed has no interval" in text) == (which == "single")
