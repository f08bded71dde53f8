import pytest

from peerkd.reporting.findings import compute_findings
from tests.tables import Study


@pytest.fixture(scope="session")
def study():
    return Study()


@pytest.fixture(scope="session")
def findings(study):
    return compute_findings(study.table, study.facts)
