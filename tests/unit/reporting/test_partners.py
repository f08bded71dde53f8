"""The report of a study in which each peer has few partners."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from peerkd.reporting import explorer, html
from peerkd.reporting.findings import compute_findings
from peerkd.reporting.packed import packed
from peerkd.reporting.page_figures import read_page
from peerkd.results.pair_rows import NO_ROW
from tests.tables import Study


@pytest.fixture(scope="module")
def study():
    return Study(num_peers=6, temperatures=(1.0, 4.0), alphas=(0.5, 0.9))


@pytest.fixture(scope="module")
def sampled(study):
    """Return the findings and the facts of the same study with two partners for each peer."""
    sweep = study.config.sweep.model_copy(update={"num_partners": 2})
    facts = replace(study.facts, config=study.config.model_copy(update={"sweep": sweep}))
    is_pair_PP = facts.pairs.as_matrix(6)
    teacher = study.table["teacher"].to_numpy(zero_copy_only=False)
    is_alone = np.isnan(teacher)
    is_tried = is_alone | is_pair_PP[study.table["student"].to_numpy(), np.where(is_alone, 0, teacher).astype(int)]
    return compute_findings(study.table.filter(is_tried), facts), facts


def test_each_pair_of_partners_has_the_findings_that_it_has_among_all_pairs(study, sampled):
    (findings, facts), whole = sampled, compute_findings(study.table, study.facts)
    is_pair_PP = facts.pairs.as_matrix(6)
    assert findings.num_pairs == 12
    assert np.array_equal(findings.choice.chosen != NO_ROW, is_pair_PP)
    for name in ("chosen", "default", "control"):
        np.testing.assert_array_equal(findings.gains[name], np.where(is_pair_PP, whole.gains[name], np.nan))
    assert np.array_equal(findings.advice.decision, np.where(is_pair_PP, whole.advice.decision, ""))
    assert findings.divergence.num_pairs_left_out == 0
    assert findings.num_pairs_without["chosen"] == 0
    # Partners teach each other, so both directions of a pair can be compared.
    assert findings.position.mean_absolute_difference.num == 6
    assert set(findings.position.num_as_teacher) == {2}


def test_the_page_has_a_number_for_each_pair_that_was_tried(sampled):
    findings, facts = sampled
    data = explorer.study_data(findings, facts)
    students, teachers = facts.pairs.as_arrays()
    assert data["tried"]["student"] == packed(students, "<u2")
    chosen = findings.choice.chosen[students, teachers]
    assert data["roles"]["chosen"][""] == packed(chosen, "<i4")
    assert data["decisions"] == packed(
        [1 + ["distil", "fine_tune", "leave"].index(each) for each in findings.advice.decision[students, teachers]],
        "<u1",
    )
    page = html.render(findings, facts)
    assert "12 ordered pairs of 6 peers, each with 2 partners drawn at random" in page
    assert "Each peer has only 2 partners" in page
    (text,) = re.findall(r'id="study"[^>]*>(.*?)</script>', page, flags=re.DOTALL)
    assert json.loads(text)["tried"]["teacher"] == packed(teachers, "<u2")
    matrix = next(each.data for each in read_page(page) if each.title.startswith("Points on test: gain of global"))
    body = [[np.nan if value is None else value for value in row[:-1]] for row in matrix["values"][:-1]]
    np.testing.assert_allclose(body, 100 * findings.gains["chosen"], atol=1e-5)
