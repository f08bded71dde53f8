import base64
import hashlib
import re
from dataclasses import replace

import pytest

from peerkd.config.collaborate import CollaborateConfig
from peerkd.reporting.facts import PeerSamples, SampleStrip
from peerkd.reporting.findings import compute_findings
from peerkd.reporting.html import SECTIONS, render
from peerkd.reporting.page import config_sections
from tests.pages import Page, check_that_it_needs_nothing_from_elsewhere, markup
from tests.tables import Study


@pytest.fixture(scope="module")
def page(study, findings):
    return render(findings, study.facts)


def test_the_page_has_every_section_once_and_balanced_tags(page):
    ids = Page(page).ids
    assert len(ids) == len(set(ids))
    for name, title in SECTIONS.items():
        assert name in ids
        assert f">{title}</h2>" in page


def test_the_page_needs_nothing_from_elsewhere(page):
    check_that_it_needs_nothing_from_elsewhere(page)


def test_only_the_scripts_of_the_page_may_run(page):
    policy = re.search(r"script-src ([^\"]+)", page).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert policy == " ".join(f"&#39;sha256-{digest}&#39;" for digest in digests)


def test_the_table_of_contents_needs_the_script(page):
    assert re.search(r"<nav [^>]*hidden>", page)
    sections = [value for _, name, value in Page(page).attributes if name == "data-section"]
    assert sections == list(SECTIONS)


def test_the_theme_follows_the_system_and_print_is_light(page):
    assert "screen and (prefers-color-scheme: dark)" in page
    assert "@media print" in page


def test_every_matrix_is_a_table(page, findings):
    assert page.count('<figure class="heat">') == 3  # classes, settings, forgetting


def test_the_page_has_no_missing_number(page):
    text = " ".join(Page(page).text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "None" not in text


def test_negative_numbers_have_minus_signs_and_words_keep_their_hyphens(page):
    text = " ".join(Page(page).text)
    assert re.search(r"\N{MINUS SIGN}\d", text)
    assert "Fine-tuning" in text


def test_shares_of_more_than_the_whole_variance_are_explained(study, findings, page, monkeypatch):
    assert "What they do not explain together" in page
    monkeypatch.setattr("peerkd.reporting.explorer.importance_of_dimensions", lambda _: {"alpha": 0.8, "student": 0.4})
    page = render(findings, study.facts)
    assert "The shares add up to more than 100 %" in page
    assert "What they do not explain together" not in page


def test_a_mean_is_bold_if_its_interval_excludes_0(findings, page):
    table = page[page.index('aria-label="Mean gains"') :].partition("</table>")[0]
    means = [estimate for (_, scope), estimate in findings.mean_gains.items() if scope in ("global", "own")]
    num_bold = sum(each.is_above_zero or each.is_below_zero for each in means)
    assert 0 < num_bold < len(means)
    assert table.count('class="value"') == num_bold


def test_a_sweep_in_which_nobody_should_distil_asks_for_no_longer_grid():
    study = Study(teaching=0.0, num_peers=4, temperatures=(1.0, 4.0), alphas=(0.1, 0.5))
    findings = compute_findings(study.table, study.facts)
    assert findings.advice.count("distil") == 0
    assert findings.edges == ()
    assert "No pair should distil, so a longer grid is not called for." in render(findings, study.facts)


def test_remarks_on_the_data_are_shown(study, findings, page):
    facts = replace(study.facts, data_remarks=("label <b> is class 0",), data_warnings=("Peer 3 lacks <i>.",))
    told = render(findings, facts)
    assert "<li>label &lt;b&gt; is class 0</li>" in told
    assert "<li><strong>Warning:</strong> Peer 3 lacks &lt;i&gt;.</li>" in told
    assert "<h3>The data</h3>" not in page


def test_names_cannot_break_out_of_the_page():
    hostile = (
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7*7 }}",
        "a & b",
        "</style>",
        "\u732b",
    )
    study = Study(
        num_peers=4, num_classes=6, class_names=hostile, temperatures=(1.0, 2.0), alphas=(0.5,), names=hostile[:4]
    )
    object.__setattr__(study.config, "name", "<b>bold</b></title><script>")
    samples = (PeerSamples(hostile[1], (SampleStrip(hostile[0], 1, "data:image/png;base64,AA=="),)),)
    facts = replace(study.facts, samples=samples)
    page = render(compute_findings(study.table, facts), facts)
    check_that_it_needs_nothing_from_elsewhere(page)
    assert markup(page).count("<script>") == 3  # d3, Plot and ours
    assert page.count("<img") == 1
    assert "<img src=x" not in page
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page
    assert "{{ 7*7 }}" in page
    assert page.count("</style>") == 1
    assert "\u732b" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"num_peers": 2, "temperatures": (1.0,), "alphas": (0.5,)},
        {"num_peers": 4, "transfer_sets": ("public_unlabelled",)},
        {"num_peers": 4, "transfer_sets": ("student", "public", "public_unlabelled"), "alphas": (0.5,)},
        {"num_peers": 4, "selection_metric": "own_accuracy", "num_classes": 3},
    ],
)
def test_small_and_odd_studies_have_a_page_too(changes):
    study = Study(**changes)
    page = render(compute_findings(study.table, study.facts), study.facts)
    text = " ".join(Page(page).text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_the_whole_config_is_listed(study):
    sections = config_sections(study.config)
    assert sections["experiment"] == {"name": "simulated", "seed": "0", "num_seeds": "1"}
    assert sections["distill.conventions"]["scale_by_temperature_squared"] == "yes"
    assert sections["partition.label_skew"] == {"kind": "dirichlet", "concentration": "0.3"}
    assert sections["data"]["path"] == "not set"
    assert sections["sweep"]["alphas"] == "0.1, 0.3, 0.5, 0.7, 0.9"


def test_an_element_of_a_list_is_shown_with_the_fields_that_are_set():
    tune = {"enabled": True, "portfolio": [{"alpha": 0.5}, {}]}
    config = CollaborateConfig.from_mapping({"partition": {"public_fraction": 0.1}, "rounds": {"tune": tune}})
    shown = config_sections(config)["rounds.tune"]["portfolio"]
    assert shown == "(alpha: 0.5, num_left_out: 0), (num_left_out: 0)"


def test_a_page_on_sets_with_and_without_labels_explains_what_is_missing():
    study = Study(num_peers=4, transfer_sets=("student", "public_unlabelled"), alphas=(0.5, 0.9))
    findings = compute_findings(study.table, study.facts)
    text = " ".join(" ".join(Page(render(findings, study.facts)).text).split())
    num_without = findings.counts.num_without_labels
    no_control = "Transfer set public_unlabelled has no labels, so no fine-tuning without a teacher exists there"
    assert text.count(no_control) == 2  # the parts of the gain, and what is forgotten
    assert "A dash replaces alpha, and the untuned default there is T=1, divergence alone." in text
    assert f"The counts of alpha leave out {num_without} pairs that chose a transfer set without labels" in text
    assert f"The {num_without} of 12 pairs that chose such a set are in neither mean." in text
    assert "1 / 1" not in text


def test_a_page_on_sets_with_labels_does_not_speak_of_others(study, findings):
    text = " ".join(Page(render(findings, study.facts)).text)
    assert "no labels" not in text
    assert "unlabelled" not in text
