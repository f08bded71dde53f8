import re
from dataclasses import replace
from typing import get_args

import pytest

from peerkd.config.methods import Method
from peerkd.reporting.facts import PeerSamples, SampleStrip
from peerkd.reporting.methods.findings import compute_findings
from peerkd.reporting.methods.html import SECTIONS, render, what_differs
from tests.curves import MethodStudy
from tests.pages import Page, check_that_it_needs_nothing_from_elsewhere, markup

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def rendered(study):
    return render(compute_findings(study.table, study.facts), study.facts)


@pytest.fixture(scope="module")
def page(method_study, method_findings):
    return render(method_findings, method_study.facts)


def test_the_page_has_every_section_once_and_balanced_tags(page):
    ids = Page(page).ids
    assert len(ids) == len(set(ids))
    for name, title in SECTIONS.items():
        assert name in ids
        assert f">{title}</h2>" in page


def test_the_page_needs_nothing_from_elsewhere(page):
    check_that_it_needs_nothing_from_elsewhere(page)


def test_the_theme_follows_the_system(page):
    assert page.count("screen and (prefers-color-scheme: dark)") == 3  # the page, its shades and its lines


def test_the_page_has_no_missing_number(page):
    text = " ".join(Page(page).text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert "None" not in text


def test_sample_images_are_those_of_all_training_samples(method_study, method_findings):
    samples = (PeerSamples("all training samples", (SampleStrip("<i>seven", 2, "data:image/png;base64,AA=="),)),)
    page = render(method_findings, replace(method_study.facts, samples=samples))
    assert "<p>A few training images of the most frequent classes.</p>" in page
    assert '<img src="data:image/png;base64,AA==" alt="2 images of class &lt;i&gt;seven">' in page
    assert "images of each peer" not in page


def test_each_method_has_its_accuracies_and_its_curves(page, method_findings):
    pcl = method_findings.comparison.spread("small_cnn", "pcl", "deployed")
    assert f"{100 * pcl.mean:.2f} \N{PLUS-MINUS SIGN} {100 * pcl.standard_deviation:.2f}" in page
    assert page.count('<div class="chart xy"') == 7 * 2 + 4 + 1  # disagreement of four methods, and the ramp


def test_the_highest_mean_is_bold(page):
    assert "The highest mean of the column deployed is in bold" in page
    table = page[page.index('aria-label="Accuracies with small_cnn"') :]
    (row,) = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*num result.*?</tr>", table[: table.index("</table>")])
    assert 'scope="row">PCL<' in row


def test_a_single_method_is_not_bold():
    page = rendered(MethodStudy(methods=("plain",), num_seeds=1, epochs=3))
    assert "in bold" not in page[: page.index("How to read this</h2>")]


def test_a_difference_is_bold_if_its_interval_excludes_0(page, method_findings):
    table = page[page.index('aria-label="Differences"') :]
    shown = [*method_findings.over_baseline.values(), *method_findings.main_over_others.values()]
    num_bold = sum(each.is_above_zero or each.is_below_zero for each in shown)
    assert 0 < num_bold < len(shown)
    assert table[: table.index("</table>")].count('class="value"') == num_bold


def test_the_best_epoch_is_labelled_as_not_being_the_result(page):
    assert "deployed, best epoch on validation" in page
    assert "is not a result" in page


def test_published_numbers_are_shown_for_their_data_set():
    study = MethodStudy(
        methods=("plain", "dml", "pcl"),
        architectures=("resnet32", "small_cnn"),
        source="image_folder",
        class_names=CIFAR10,
        epochs=3,
    )
    page = rendered(study)
    assert "94.33 \N{PLUS-MINUS SIGN} 0.12" in page  # PCL with ResNet-32
    assert "as copied in a public reimplementation" in page
    assert any("8x8 pixels here" in sentence for sentence in what_differs(study.facts))
    assert any("JPEG" in sentence for sentence in what_differs(study.facts))


def test_published_numbers_are_not_shown_for_other_data(page):
    assert "94.33" not in page
    assert "published: Wu and Gong" not in page


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ("pcl",), "num_seeds": 1, "epochs": 1},
        {"methods": ("plain",), "epochs": 2},
        {"methods": get_args(Method), "num_seeds": 2, "epochs": 3},
        {"methods": ("dml", "pcl"), "architectures": ("mlp", "small_cnn"), "epochs": 4},
    ],
)
def test_small_and_odd_studies_have_a_page_too(changes):
    text = " ".join(Page(rendered(MethodStudy(**changes))).text)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_names_cannot_break_out_of_the_page():
    study = MethodStudy(methods=("plain", "pcl"), num_seeds=2, epochs=2)
    object.__setattr__(study.config, "name", "<b>bold</b></title><script>")
    page = rendered(study)
    Page(page)
    assert markup(page).count("<script>") == 3  # d3, Plot and ours
    assert "<b>" not in page


def test_the_page_says_that_one_seed_has_no_intervals():
    page = rendered(MethodStudy(methods=("plain", "pcl"), num_seeds=1, epochs=2))
    assert "With one seed there are no intervals" in page
    assert "The study has one seed" in page
    assert "no interval" not in page[page.index('aria-label="Differences"') : page.index("How to read this</h2>")]
