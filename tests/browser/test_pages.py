"""Every kind of page in Chromium: drawn without errors, accessible, narrow, framed, printed and saved."""

import csv
import io
import re
from xml.etree import ElementTree

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import KINDS, NARROW, WIDE


def serious(page, **options):
    """The violations that axe finds and calls serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        (each["id"], [node["html"][:120] for node in each["nodes"][:3]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_draws_every_chart_leads_to_every_section_and_is_accessible(open_page, kind):
    page = open_page(kind)
    charts = page.locator(".chart[data-label]")
    assert charts.count() == page.locator(".chart[data-label] svg[role=img][aria-label]").count()
    assert charts.count() > 0
    for button in page.locator("nav button").all():
        button.click()
        section = page.locator(f"#{button.get_attribute('data-section')}")
        box = section.locator("h2").bounding_box()
        assert 0 <= box["y"] < WIDE["height"]
    assert page.url.endswith(f"{kind}.html")
    assert serious(page) == []


@pytest.mark.parametrize("kind", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_a_dark_page_has_enough_contrast(open_page, kind):
    page = open_page(kind)
    page.emulate_media(color_scheme="dark")
    assert serious(page, runOnly=["color-contrast"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_narrow_page_does_not_scroll_sideways(open_page, kind):
    page = open_page(kind, viewport=NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_and_table_is_saved(open_page, kind):
    page = open_page(kind)
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    # An expression whose value is a function would be called.
    page.evaluate("window.saved = []; peerkd.save = (...file) => { saved.push(file); }; null")
    buttons = page.locator(".toolbar button").filter(has_text=re.compile("CSV|SVG"))
    assert buttons.count() > 0
    for button in buttons.all():
        button.click()
    files = page.evaluate("saved")
    assert len(files) == buttons.count()
    for name, text, _ in files:
        if name.endswith(".svg"):
            root = ElementTree.fromstring(text.encode())
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert "var(" not in text
            assert len(list(root.iter())) > 5
        else:
            header, *rows = csv.reader(io.StringIO(text))
            assert all(header)
            assert rows or "network" in name
            assert {len(row) for row in rows} <= {len(header)}


def test_one_cell_of_the_surface_is_the_default_and_a_pair_is_judged_alone(open_page):
    page = open_page("sweep")
    assert page.locator('#mean-surface g[stroke-width="2.5"] rect').count() == 1
    assert page.locator("#pair .status").inner_text().startswith("Judged by the trainings of this pair alone, ")
    name = page.locator("#improved .name", has_text="St. Mary")
    assert name.evaluate("(cell) => getComputedStyle(cell).whiteSpace") == "nowrap"


@pytest.mark.parametrize(("kind", "text"), [("surface", "transfer set"), ("matrix", "St. Mary")])
def test_a_chart_alone_is_drawn_with_its_buttons(open_page, kind, text):
    page = open_page(kind)
    assert text in page.locator(".chart svg[role=img]").text_content()
    page.locator(".toolbar button", has_text="Table").click()
    assert page.locator(".data tbody tr").count() == (5 + 1) ** 2 if kind == "matrix" else 10


def test_the_list_of_runs_is_sorted_and_filtered_and_stays_so_when_it_is_loaded_again(open_page):
    page = open_page("index")
    assert serious(page) == []

    def shown():
        return page.locator("tbody tr:visible th").all_inner_texts()

    page.locator("thead button", has_text="Cost").click()
    assert shown()[:6] == [f"<b>run</b>-{number}" for number in (7, 5, 3, 1, 8, 6)]
    page.locator("input[type=search]").fill("finished")
    assert shown() == [f"<b>run</b>-{number}" for number in (8, 6, 4, 2, 0)]
    page.goto(f"{page.url}#column=3&order=descending&words=running")
    page.reload()
    page.wait_for_selector("html[data-is-ready]", state="attached")
    assert shown() == [f"<b>run</b>-{number}" for number in (7, 5, 3, 1)]


def test_a_saved_file_is_a_download_with_its_name_and_text(open_page):
    page = open_page("sweep")
    with page.expect_download(timeout=120_000) as waiting:
        page.locator("#verdict figure .toolbar button", has_text="CSV").first.click()
    assert waiting.value.suggested_filename.endswith(".csv")
    assert waiting.value.path().read_text(encoding="utf-8").startswith("name,points,low_points,high_points,n\n")


def test_data_are_shown_as_a_table(open_page):
    page = open_page("sweep")
    toggle = page.locator("#verdict figure .toolbar button", has_text="Table").first
    toggle.click()
    assert toggle.get_attribute("aria-expanded") == "true"
    assert page.locator("#verdict .data:visible tbody tr").count() == 4
    toggle.click()
    assert page.locator("#verdict .data:visible").count() == 0


def test_a_table_is_sorted_and_filtered(open_page):
    page = open_page("sweep")
    table = page.locator("#peers table")
    column = table.locator("thead th").all_inner_texts().index("training samples") + 1

    def values():
        return [
            int(text.replace(",", "")) for text in table.locator(f"tbody tr > :nth-child({column})").all_inner_texts()
        ]

    header = table.locator(f"thead th:nth-child({column})")
    for order in ("ascending", "descending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == order
        assert values() == sorted(values(), reverse=order == "descending")
    field = page.get_by_label("Filter rows: Forgetting by transfer set")
    field.fill("both")
    rows = page.locator("#forgetting table.list tbody tr:visible")
    assert rows.count() > 0
    assert all("both" in text for text in rows.all_inner_texts())


def test_a_page_works_in_a_frame_without_downloads(open_page, pages):
    page = open_page("sweep")
    page.set_content('<iframe sandbox="allow-scripts" width="480" height="600"></iframe>')
    page.locator("iframe").evaluate(
        "(frame, text) => { frame.srcdoc = text; }", pages["sweep"].read_text(encoding="utf-8")
    )
    frame = page.frame_locator("iframe")
    frame.locator("html[data-is-ready]").wait_for(state="attached")
    frame.locator("nav button", has_text="Gain by pair").click()
    assert frame.locator("#pairs h2").is_visible()
    frame.locator("#verdict figure .toolbar button", has_text="CSV").first.click()
    assert frame.locator("dialog textarea").input_value().startswith("name,points,low_points,high_points,n\n")
    frame.locator("dialog button").click()
    assert frame.locator("dialog").count() == 0


def test_a_printed_page_has_its_details_and_no_controls(open_page):
    page = open_page("sweep")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("nav").is_hidden()
    assert page.locator(".toolbar:visible").count() == 0
