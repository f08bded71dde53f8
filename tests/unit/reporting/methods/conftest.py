import pytest

from peerkd.reporting.methods.findings import compute_findings
from tests.curves import MethodStudy


@pytest.fixture(scope="session")
def method_study():
    return MethodStudy()


@pytest.fixture(scope="session")
def method_findings(method_study):
    return compute_findings(method_study.table, method_study.facts)
