"""The list of runs with the state of their invocations, in narrow terminals, and as a page."""

import json
import re
import webbrowser
from contextlib import suppress
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.cli.runs import lines_of_runs
from peerkd.launch.invocations.files import invoking, name_run
from peerkd.stages.store_index import INDEX_NAME, write_index
from tests.pages import Page
from tests.unit.stages.published_runs import SWEEP, begin, experiment, finish, runs_of


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "runs")


def test_the_state_of_a_run_is_that_of_its_last_invocation(peerkd, store: FilesystemStore, tmp_path: Path) -> None:
    def state() -> str:
        (run,) = json.loads(peerkd("runs", "--json").out)
        return str(run["state"])

    begin(store, experiment(), SWEEP)
    (run,) = runs_of(store)
    assert state() == "unfinished"
    begun = {"pipeline": "jointkd sweep", "experiment": "digits", "stages": ["partition_data"]}
    with suppress(KeyboardInterrupt), invoking(tmp_path / "runs", **begun):
        name_run(run.key, experiment="digits", skew="dirichlet0.3")
        assert state() == "running"
        page = write_index(str(tmp_path / "runs")).read_text(encoding="utf-8")
        assert '<html lang="en" data-is-running>' in page
        assert "<td>0% done</td>" in page
        assert "build_report. 'peerkd watch' shows the progress.\n" in peerkd("show", "latest").out
        raise KeyboardInterrupt
    assert state() == "interrupted"
    told = peerkd("show", "latest").out
    config = tmp_path / "runs" / run.key / "experiment.json"
    assert f"or:\n    peerkd run jointkd --config {config} --output {tmp_path / 'runs'}\n" in told
    assert config.is_file()
    with suppress(ValueError), invoking(tmp_path / "runs", **begun):
        name_run(run.key, experiment="digits", skew="dirichlet0.3")
        raise ValueError("no.")
    assert state() == "failed"
    finish(store, experiment())
    assert state() == "finished"


def test_runs_are_listed_by_state_pipeline_and_number(peerkd, store: FilesystemStore) -> None:
    finish(store, experiment("name=first"))
    begin(store, experiment("name=second seed=1"), SWEEP)

    def names(*options: str) -> list[str]:
        return [run["name"].partition("-")[0] for run in json.loads(peerkd("runs", "--json", *options).out)]

    assert sorted(names()) == ["first", "second"]
    assert (names("--state", "finished"), names("--state", "unfinished")) == (["first"], ["second"])
    assert (names("--pipeline", "pcl"), len(names("--limit", "1"))) == ([], 1)
    assert "no runs in this state or of this pipeline, of 2" in peerkd("runs", "--pipeline", "pcl").err
    assert "state must be one of running, finished," in peerkd("runs", "--state", "finishd").err


def test_a_note_is_shown_wherever_the_run_is(peerkd, store: FilesystemStore, tmp_path: Path) -> None:
    finish(store, experiment("name=first"))
    before = runs_of(store)
    assert peerkd("note", "first", "the <b>new</b> scanner").out == f"{before[0].name}: noted\n"
    assert "\n    note: the <b>new</b> scanner\n" in peerkd("runs").out
    assert "\nNote: the <b>new</b> scanner\n" in peerkd("show", "latest").out
    assert json.loads(peerkd("show", "latest", "--json").out)["note"] == "the <b>new</b> scanner"
    assert "Note: the &lt;b&gt;new&lt;/b&gt; scanner" in write_index(str(tmp_path / "runs")).read_text()
    assert " note: the <b>new</b> scanner" in " ".join(line.strip() for line in lines_of_runs(runs_of(store), width=60))
    deleted = "the note is deleted; its text stays in the store until 'peerkd clean'"
    assert peerkd("note", "latest", "--delete").out == f"{before[0].name}: {deleted}\n"
    assert "note" not in peerkd("runs").out
    assert peerkd("note", "latest").err == "peerkd: TEXT must be given, or else --delete, which deletes the note.\n"
    assert peerkd("note", "latest", " ").err == "peerkd: text must not be empty.\n"
    assert peerkd("note", "latest", "two\nlines").err.startswith("peerkd: TEXT must be one line of at most 500 ")
    # Neither the run nor its artifacts have changed.
    (after,) = runs_of(store)
    assert (after.key, dict(after.artifacts)) == (before[0].key, dict(before[0].artifacts))


@pytest.mark.parametrize("width", [40, 60, 200])
def test_the_list_fits_its_terminal(store: FilesystemStore, width: int) -> None:
    finish(store, experiment())
    begin(store, experiment("name=second seed=1"), SWEEP)
    lines = list(lines_of_runs(runs_of(store), width=width))
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "left: pretrain_peers, distill_pairs, improve_peers, build_report" in text
    assert "the student should learn in 12 of 90 ordered pairs" in text


def test_the_index_links_the_reports(
    peerkd, store: FilesystemStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(store, experiment("name=first"))
    begin(store, experiment("name=second seed=1"), SWEEP)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    outcome = peerkd("open")
    page = tmp_path / "runs" / INDEX_NAME
    assert (outcome.exit_code, outcome.out, outcome.err) == (0, f"{page}\n", "")
    assert opened == [page.as_uri()]
    text = page.read_text()
    (link,) = re.findall(r'href="([^"]+)"', text)
    assert (page.parent / link).read_text() == "the content of report.html"
    assert "left: pretrain_peers" in text
    assert "second-dirichlet0.3-" in text
    # The runs differ in their seeds, and in nothing else for which the page has a column.
    assert re.findall(r"<th[^>]*>(Skew|Peers|Seed)<", text) == ["Seed"]
    assert "data-is-running" not in text
    Page(text)
    # The page is no artifact, and writing it again replaces it.
    assert write_index(str(page.parent)) == page
    assert [path.name for path in page.parent.iterdir() if path.is_file()] == [INDEX_NAME]


def test_a_store_in_s3_has_no_index(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="RUN must be given with a store in S3"):
        write_index("s3://bucket/runs")
