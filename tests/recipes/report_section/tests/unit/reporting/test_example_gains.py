import numpy as np

from peerkd.reporting.findings import example_gains
from peerkd.reporting.html import render


def test_the_largest_gains_come_first(findings) -> None:
    pairs = example_gains(findings, num=3)
    gains = [findings.gains["chosen"][pair] for pair in pairs]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == np.nanmax(findings.gains["chosen"])


def test_the_page_has_the_section(study, findings) -> None:
    page = render(findings, study.facts)
    assert 'id="example_gains"' in page
    assert "Example of large gains" in page
