"""The charts of a page of a sweep are read back from it, and can be shown and saved alone."""

import csv
import io

import numpy as np
import pytest

from peerkd.api.figures import Figure, read_figures
from peerkd.reporting import html
from peerkd.reporting.figure_rows import rows_of
from tests.pages import Page


@pytest.fixture(scope="module")
def figures(study, findings):
    return list(read_figures(html.render(findings, study.facts)))


def titled(figures, start) -> Figure:
    (found,) = (figure for figure in figures if figure.title.startswith(start))
    return found


def test_a_page_has_charts_of_every_kind(figures):
    assert {figure.kind for figure in figures} == {"xy", "intervals", "bars", "network", "surface", "matrix"}
    assert all(figure.title for figure in figures)
    assert len({figure.title for figure in figures}) == len(figures)


def test_a_surface_has_the_means_of_the_table(study, figures):
    surface = titled(figures, "Mean over pairs by temperature, alpha and transfer set: gain of own accuracy")
    for cell in surface.data["cells"]:
        values = [
            row["test_own_gain"]
            for row in study.table.to_pylist()
            if row["distillation_weight"]
            and row["transfer_set"] == cell["transfer_set"]
            and row["temperature"] == cell["temperature"]
            and cell["alpha"] in (None, row["alpha"])
        ]
        assert cell["value"] == pytest.approx(np.mean(values), abs=1e-12)
        assert cell["num"] == len(values)
    assert sum(cell["is_default"] for cell in surface.data["cells"]) == 1
    num_choices = sum(cell["num_chosen"] for cell in surface.data["cells"])
    assert num_choices == study.facts.num_peers * (study.facts.num_peers - 1)


def test_a_matrix_of_pairs_has_the_gains_of_the_findings(findings, figures):
    matrix = titled(figures, f"Points on test: gain of {findings.scope} accuracy, best setting of each pair").data
    body = [[np.nan if value is None else value for value in row[:-1]] for row in matrix["values"][:-1]]
    np.testing.assert_allclose(body, 100 * findings.gains["chosen"], atol=1e-5)
    assert matrix["values"][-1][-1] == pytest.approx(100 * np.nanmean(findings.gains["chosen"]), abs=1e-5)
    assert len(matrix["texts"]) == len(matrix["shades"]) == len(matrix["rows"])


def test_a_table_of_cells_is_read_as_the_page_shows_it(study, figures):
    counts = titled(figures, "Training samples of each peer by class").data
    assert counts["columns"] == [*study.facts.class_names, "all"]
    np.testing.assert_array_equal([row[:-1] for row in counts["values"]], study.facts.train_counts_PK)
    settings = titled(figures, "Temperature / alpha").data
    assert (settings["values"][0][1], settings["texts"][0][0]) == (None, "")
    assert settings["notes"][0][1] in study.facts.config.sweep.tried_transfer_sets


def test_every_chart_is_shown_in_a_frame_and_saved(figures, tmp_path):
    for figure in {figure.kind: figure for figure in figures}.values():
        assert '<iframe srcdoc="&lt;!doctype html&gt;' in figure._repr_html_()
        page = figure.save(tmp_path / "figure.html").read_text(encoding="utf-8")
        Page(page)
        assert list(read_figures(page)) == [figure]
        table = csv.DictReader(io.StringIO(figure.save(tmp_path / "figure.csv").read_text(encoding="utf-8")))
        assert len(list(table)) == len(rows_of(figure.kind, figure.data)) == figure.table(form="arrow").num_rows > 0
    with pytest.raises(ValueError, match=r"^path must end in \.html or \.csv, got .*figure\.svg; the page of an"):
        figure.save(tmp_path / "figure.svg")
