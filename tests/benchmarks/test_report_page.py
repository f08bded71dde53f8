"""The measurement of the report of many peers: its table is whole, and each pair has the trials of a simulated one."""

from benchmarks.report_page import enlarged, measure
from peerkd.reporting.findings import compute_findings
from tests.tables import Study


def test_a_larger_study_has_a_report_of_its_own_size():
    study = Study(num_peers=3, temperatures=(1.0, 4.0), alphas=(0.5, 0.9), transfer_sets=("both",))
    table, facts = enlarged(study, num_peers=7)
    assert table.num_rows == 42 * 5
    gains, simulated = (
        compute_findings(each, of).gains["chosen"] for each, of in ((table, facts), (study.table, study.facts))
    )
    assert gains[0, 5] == simulated[0, 2]
    assert gains[6, 2] == simulated[0, 2]
    assert gains[3, 0] == simulated[0, 1]  # both repeat the simulated peer 0
    assert measure(table, facts).startswith("7 peers, 210 trials: findings in ")
