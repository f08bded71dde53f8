"""What a reader can explore on the page of a sweep. Numbers are read back from it and compared with the table."""

import csv
import io
import math

import numpy as np
import pytest

from peerkd.reporting.wording import magnitude, points, true_minus
from peerkd.results.pairs import at

COLUMNS = {
    "global": "test_global_gain",
    "own": "test_own_gain",
    "teacher": "test_global_gain_from_teacher",
    "forgetting": "test_forgetting",
}


CELLS = "(rows) => rows.slice(0, -1).map((row) => [...row.cells].slice(1, -1).map((cell) => cell.textContent))"
"""Returns the texts of a matrix without its means."""


def written(value, measure):
    if math.isnan(value):
        return ""
    return magnitude(value) if measure == "forgetting" else true_minus(points(value))


def downloaded(page, button):
    with page.expect_download() as waiting:
        button.click()
    return list(csv.DictReader(io.StringIO(waiting.value.path().read_text(encoding="utf-8"))))


def test_the_matrix_shows_every_measure_setting_and_set_as_the_table_has_it(open_page, sweep, sweep_findings):
    page, roles = open_page("sweep"), sweep_findings.results.roles
    region = page.locator("#pairs-map")
    num_seen = 0
    for role, by_set in roles.items():
        region.locator("[data-name=role]").select_option(role)
        options = region.locator("[data-name=set] option").evaluate_all("(all) => all.map((each) => each.value)")
        assert set(options) == set(by_set)
        for name, rows_PP in by_set.items():
            region.locator("[data-name=set]").select_option(name)
            for measure, column in COLUMNS.items():
                region.locator("[data-name=measure]").select_option(measure)
                shown = region.locator("tbody tr").evaluate_all(CELLS)
                expected = [[written(value, measure) for value in row] for row in at(sweep.table, column, rows_PP)]
                assert shown == expected, (role, name, measure)
                num_seen += 1
    assert num_seen == sum(map(len, roles.values())) * len(COLUMNS)


def test_the_mean_surface_has_the_means_of_the_table(open_page, sweep):
    page = open_page("sweep")
    table = sweep.table.to_pylist()
    section = page.locator("#surface")
    for measure, column in COLUMNS.items():
        section.locator("select").select_option(measure)
        rows = downloaded(page, section.locator(".toolbar button", has_text="CSV").first)
        # Two sets have labels. On the third, alpha has no effect, and a teacher's part is unknown without a control.
        assert len(rows) == 2 * 4 + (0 if measure == "teacher" else 2)
        for row in rows:
            values = [
                each[column]
                for each in table
                if each["distillation_weight"]
                and each["transfer_set"] == row["transfer_set"]
                and each["temperature"] == float(row["temperature"])
                and (row["alpha"] == "\N{EN DASH}" or each["alpha"] == float(row["alpha"]))
                and each[column] is not None
            ]
            if values:
                assert float(row["points"]) == pytest.approx(100 * np.mean(values), abs=1e-4)
                assert int(row["num_pairs"]) == len(values)
                assert float(row["low_points"]) <= float(row["points"]) <= float(row["high_points"])


def test_a_pair_is_selected_by_mouse_by_keys_and_by_lists(open_page, sweep):
    page = open_page("sweep")
    student, teacher, measure = (page.locator("#pair-view select").nth(place) for place in range(3))
    page.locator("#pairs-map [data-pair='2,1']").click()
    assert (student.input_value(), teacher.input_value()) == ("2", "1")
    page.locator("#pairs-map [data-pair='2,1']").focus()
    page.keyboard.press("ArrowRight")  # over the diagonal
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert (student.input_value(), teacher.input_value()) == ("1", "3")
    student.select_option("4")
    assert page.locator("#pair-view figcaption").first.inner_text().startswith("Gain of global accuracy of peer 4 from")
    measure.select_option("forgetting")
    assert page.locator("#pair-view figcaption").first.inner_text().startswith("Forgetting of peer 4 from peer 3")
    student.select_option("3")
    assert "does not teach itself" in page.locator("#pair-view [role=status]").inner_text()


def test_the_surface_of_a_pair_has_its_trials(open_page, sweep):
    page = open_page("sweep")
    student, teacher, _ = (page.locator("#pair-view select").nth(place) for place in range(3))
    student.select_option("4")
    teacher.select_option("2")
    rows = downloaded(page, page.locator("#pair-view .toolbar button", has_text="CSV").first)
    trials = [
        each
        for each in sweep.table.to_pylist()
        if (each["student"], each["teacher"]) == (4, 2) and each["distillation_weight"]
    ]
    assert len(rows) == len(trials)
    for row, trial in zip(rows, trials, strict=True):
        assert row["transfer_set"] == trial["transfer_set"]
        assert float(row["points"]) == pytest.approx(100 * trial["test_global_gain"], abs=1e-5)
        right, wrong = trial["test_positive_flips"], trial["test_negative_flips"]
        error = math.sqrt((right + wrong - (right - wrong) ** 2) / 150)
        assert float(row["standard_error_points"]) == pytest.approx(100 * error, abs=1e-3)


def test_a_pair_has_its_controls_classes_and_curves(open_page, sweep, sweep_findings):
    page = open_page("sweep")
    page.locator("#pairs-map [data-pair='1,0']").click()
    rows = page.locator("#pair-view tbody").first.locator("tr").all_inner_texts()
    assert [text.split("\t")[0].split(" (")[0] for text in rows] == [
        "best setting",
        "untuned default",
        "best control without a teacher",
        "unchanged student",
    ]
    chosen = sweep.table.slice(int(sweep_findings.choice.chosen[1, 0]), 1).to_pylist()[0]
    assert true_minus(points(chosen["test_own_gain"])) in rows[0]
    classes = downloaded(page, page.get_by_label("CSV: Classes learned and forgotten"))
    changes = np.subtract(chosen["test_class_accuracy_after"], chosen["test_class_accuracy_before"])
    assert [each["class"] for each in classes[:3]] == ["cat", "<b>dog</b>", "fox"]
    assert [float(each["points"]) for each in classes[:3]] == pytest.approx(100 * changes, abs=0.006)
    curves = downloaded(page, page.get_by_label("CSV: Accuracy by epoch"))
    best = [float(each["accuracy_pct"]) for each in curves if each["training"] == "best setting"]
    assert best == pytest.approx(100 * np.array(chosen["test_global_accuracy_by_epoch"]), abs=1e-3)


def test_the_chart_of_means_has_the_numbers_of_the_findings(open_page, sweep_findings):
    page = open_page("sweep")
    rows = downloaded(page, page.get_by_label("CSV: Mean gains and their controls"))
    for row, treatment in zip(rows, ("chosen", "single", "default", "control"), strict=True):
        estimate = sweep_findings.mean_gains[treatment, "global"]
        assert float(row["points"]) == pytest.approx(100 * estimate.value, abs=1e-6)
        assert float(row["low_points"]) == pytest.approx(100 * estimate.low, abs=1e-6)
    arrows = page.get_by_label("Table: Network of peers")
    arrows.click()
    # The decision for peer 0 has an arrow even where the pair, judged alone, would not learn.
    num_pairs = len({(0, 1), *sweep_findings.advice.pairs_to_distil()})
    assert page.locator("#verdict .data:visible tbody tr").count() == num_pairs
    # Only the decision for a peer has a solid arrow.
    assert page.locator("#verdict .data:visible tbody tr", has_text="learn").count() == 1
    assert page.locator("#verdict g[stroke-miterlimit][stroke-dasharray] > path").count() == num_pairs - 1
    assert page.locator("#verdict g[stroke-miterlimit]:not([stroke-dasharray]) > path").count() == 1
