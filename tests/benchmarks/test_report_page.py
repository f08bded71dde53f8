"""The measurement of the page of many peers: its findings are whole, and have as many trials as were asked for."""

import numpy as np

from benchmarks.report_page import enlarged, measure
from peerkd.reporting.findings import compute_findings
from tests.tables import Study


def test_a_larger_study_has_a_page_of_its_own_size():
    study = Study(num_peers=3, temperatures=(1.0, 2.0), alphas=(0.5, 0.9), transfer_sets=("student", "both"))
    found, facts = enlarged(compute_findings(study.table, study.facts), study.facts, num_peers=7, num_settings=4)
    results = found.results
    is_control = np.array([each.is_control for each in results.settings])[results.setting]
    # The trials that a role names are kept beyond the four.
    assert 4 * 42 <= (~is_control).sum() <= 8 * 42
    rows_PP = results.roles["chosen"][""]
    for student, teacher in ((0, 5), (6, 2), (3, 0)):
        row = rows_PP[student, teacher]
        assert (results.student[row], results.teacher[row]) == (student, teacher)
        np.testing.assert_allclose(results.gain[row], found.gains["chosen"][student, teacher])
    assert measure(found, facts).startswith(f"7 peers, {len(results.student):,} trials: ")
