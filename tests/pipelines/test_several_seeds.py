"""A run with several seeds is several complete studies with one last report, and ``peerkd compare`` pools them too."""

import csv
import json
import shutil
import sys

import pytest

from peerkd.api.comparisons import compare
from peerkd.api.runs import open_run
from peerkd.artifacts.open import open_store
from peerkd.cli.main import main
from peerkd.stages.stored_runs import list_runs
from tests.pages import Page
from tests.pipelines.experiments import TINY, command

NUM_STAGES = 5


@pytest.fixture
def peerkd(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["peerkd", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, capsys.readouterr()

    return call


def test_a_run_with_two_seeds_finds_the_study_of_one_and_reports_both(finished, peerkd, tmp_path):
    output = tmp_path / "runs"
    shutil.copytree(finished[0], output)
    _, _, _, *words = command(output, (*TINY, "num_seeds=2"))
    code, told = peerkd(*words, "--workers", "0")
    assert code == 0
    printed = told.out
    # The first study is the one that the store has already, and the second is new.
    assert told.err.count("already done") == NUM_STAGES
    assert "2 studies in 1 group, seeds 0, 1" in printed
    first, second = runs = list_runs(open_store(str(output)), notify=pytest.fail)
    assert all(run.is_finished for run in runs)
    gains = [run.report.metadata["summary"]["chosen_gain_points"] for run in runs]
    (report,) = output.glob("compare_studies/*/report.html")
    assert all(run.name in (report.parent / "summary.txt").read_text(encoding="utf-8") for run in runs)
    assert str(report) in printed
    metrics = json.loads((report.parent / "metrics.json").read_text())
    assert metrics["global_gain_best_setting_of_each_pair_points"] == pytest.approx(sum(gains) / 2, abs=1e-3)
    Page(report.read_text())
    with (report.parent / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["seeds"], row["over"], row["num"]) for row in rows} >= {("0 1", "seed", "2")}

    compare = ("compare", "--output", str(output))
    code, told = peerkd(*compare, first.name, second.name, "--csv", "--html", str(tmp_path / "page.html"))
    assert code == 0
    assert told.out == (report.parent / "comparison.csv").read_text()
    Page((tmp_path / "page.html").read_text())
    check_from_python(output, report.parent, tmp_path / "compared.csv", metrics=metrics)
    assert peerkd(*compare, "latest", first.name)[0] == 2
    code, told = peerkd(*compare, "latest")
    assert (code, told.err) == (2, "peerkd: RUN must name at least two runs, got 1.\n")


def check_from_python(store, report, file, *, metrics):
    """Check that the run with both seeds is opened and compared from Python."""
    both = open_run(report.relative_to(store).as_posix(), store=store)
    assert (both.metrics, both.report.parent, both.config.model_dump()["num_seeds"]) == (metrics, report, 2)
    assert [run.seed for run in both.runs] == [0, 1]
    for text in (both.name, both.name[:-1], both.stored.key[:-1], report.name):
        assert open_run(text, store=store).stored.key == both.stored.key
    assert "comparison" in both.tables
    trials = [run.table("trials", form="arrow") for run in both.runs]
    assert both.table("trials", form="arrow").num_rows == sum(table.num_rows for table in trials)
    assert set(both.table("pairs", form="arrow")["seed"].to_pylist()) == {0, 1}
    with pytest.raises(ValueError, match=r"^run must be a run with one seed, got .*-2-seeds-.*, which has 2: take one"):
        both.network(0)
    comparison = compare([both])
    assert comparison.save(file).read_text() == (report / "comparison.csv").read_text()
    rows = comparison.table(form="arrow").to_pylist()
    assert {(row["seeds"], row["over"], row["num"]) for row in rows} >= {("0 1", "seed", 2)}
    assert (comparison.fields, comparison.differences) == ((), ())
    (group,) = comparison.groups
    assert (group.seeds, set(group.runs)) == ((0, 1), {run.name for run in both.runs})
