import numpy as np

from peerkd.reporting.findings import largest_gains
from peerkd.reporting.html import render


def test_the_largest_gains_come_first(findings) -> None:
    pairs = largest_gains(findings, num=3)
    gains = [findings.gains["chosen"][pair] for pair in pairs]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == np.nanmax(findings.gains["chosen"])


def test_the_page_has_the_section(study, findings) -> None:
    page = render(findings, study.facts)
    assert '<section id="largest"' in page or 'id="largest"' in page
    assert "Largest gains" in page
