from dataclasses import replace

import pytest

from peerkd.config.prices import Prices
from peerkd.reporting.html import render
from peerkd.reporting.methods import html as methods_html
from peerkd.reporting.methods.findings import compute_findings
from peerkd.results.cost import Account, run_cost
from tests.curves import MethodStudy
from tests.pages import Page

ACCOUNTS = [
    Account(step="pretrain_peers", seconds=100, num_workers=1, gpus_per_worker=2),
    Account(step="distill_pairs", seconds=1800, num_workers=2, gpus_per_worker=4),
]


def cost(prices: Prices, **more):
    return run_cost(ACCOUNTS, prices=prices, **more)


def test_the_report_shows_the_time_of_each_step_and_pair(study, findings):
    pairs = {(0, 1): 1.0, (0, None): 3.0}
    told = cost(Prices(gpu_hour=2.5), sweep="distill_pairs", trial_seconds=pairs)
    page = render(findings, replace(study.facts, cost=told))
    assert "<td>3,600</td><td>14,400</td><td>10.00</td>" in page
    assert '<td class="name">1</td><td>900</td><td>3,600</td><td>2.50</td>' in page
    assert '<td class="name">none</td><td>2,700</td><td>10,800</td><td>7.50</td>' in page
    assert "No prices are set." not in page
    assert Page(page).ids


def test_without_prices_only_seconds_are_shown(study, findings):
    page = render(findings, replace(study.facts, cost=cost(Prices())))
    assert "<td>3,600</td><td>14,400</td><td>n/a</td>" in page
    assert "No prices are set." in page


def test_without_accounts_no_costs_are_shown(study, findings):
    assert "seconds of all GPUs" not in render(findings, study.facts)


@pytest.mark.parametrize("prices", [Prices(), Prices(worker_hour=1.0)])
def test_the_report_on_methods_shows_its_steps(prices):
    study = MethodStudy()
    facts = replace(study.facts, cost=cost(prices))
    page = methods_html.render(compute_findings(study.table, facts), facts)
    assert "<td>3,600</td><td>14,400</td><td>" + ("n/a" if prices.worker_hour is None else "1.00") in page
    assert "<details>\n  <summary>Each pair" not in page
