"""The runs of a store are found by their records, and those of earlier versions by their artifacts."""

import json
import re
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.open import open_store
from peerkd.artifacts.store import ArtifactStore
from peerkd.cli.main import main
from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pcl import PclConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.stages.run_record import (
    EXPERIMENT_NAME,
    ROUTES,
    Route,
    skew_in_a_word,
)
from peerkd.stages.stored_runs import find_run, list_runs
from tests.s3_server import S3Server
from tests.unit.stages.published_runs import (
    COLLABORATE,
    PCL,
    SWEEP,
    TUNE,
    begin,
    experiment,
    finish,
    go_on,
    report,
    runs_of,
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FilesystemStore(tmp_path / "runs")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.title.replace(" ", "-"))
def test_a_run_is_listed_from_its_first_stage_to_its_report(store: ArtifactStore, route: Route) -> None:
    config = PclConfig() if route is PCL else CollaborateConfig() if route is COLLABORATE else experiment()
    last = begin(store, config, route)
    for num_done in range(len(route.stages) - 2):
        (run,) = runs_of(store)
        assert (run.is_finished, run.stages_left) == (False, route.stages[1 + num_done :])
        last = go_on(store, config, route._replace(stages=route.stages[num_done:]), last, num_stages=1)
    report(store, config, route, last, finished_at="2026-01-02T03:04:05+00:00")
    (run,) = runs_of(store)
    assert (run.is_finished, run.stages_left, run.finished_at) == (True, (), "2026-01-02T03:04:05+00:00")
    assert (run.pipeline, run.strategy) == route[:2]
    assert run.cost is not None
    assert run.cost.worker_seconds == 120 * (len(route.stages) - 2)


def test_a_run_has_a_name_that_a_person_can_say(store: ArtifactStore) -> None:
    finish(store, experiment("partition.label_skew.concentration=0.5 name=first"))
    (run,) = runs_of(store)
    assert run.name == f"first-dirichlet0.5-{run.key.removeprefix('run/')[:4]}"
    assert run.headline == (
        "the student should learn in 12 of 90 ordered pairs, +1.2 points (+0.5 to +2.0) over the better control on test"
    )


@pytest.mark.parametrize(
    ("skew", "word"),
    [
        ("{kind: iid}", "iid"),
        ("{kind: dirichlet, concentration: 1}", "dirichlet1"),
        ("{kind: classes, classes_per_peer: 2}", "classes2"),
        ("{kind: shards, shards_per_peer: 3}", "shards3"),
    ],
)
def test_the_skew_is_one_word(skew: str, word: str) -> None:
    config = ExperimentConfig.from_mapping({"partition": {"label_skew": yaml.safe_load(skew)}})
    assert skew_in_a_word(config) == word


def test_a_repeated_command_is_the_same_run_wherever_it_computes(store: ArtifactStore) -> None:
    begin(store, experiment(), SWEEP)
    begin(store, experiment("compute.device=cpu compute.num_workers=3"), SWEEP)
    (run,) = runs_of(store)
    recorded = json.loads((store.fetch(run.key) / EXPERIMENT_NAME).read_text())
    assert "compute" not in recorded
    assert JOINTKD.config.from_json(json.dumps(recorded)) == experiment()


def test_runs_that_share_artifacts_are_listed_one_by_one(store: ArtifactStore) -> None:
    finish(store, experiment())
    begin(store, experiment("sweep.alphas=[0.5]"), SWEEP)
    begin(store, experiment(), TUNE)
    found = {(run.strategy, run.is_finished): run for run in runs_of(store)}
    assert found.keys() == {("sweep", True), ("sweep", False), ("tune", False)}
    # The peers of the finished run are found by the others.
    assert found["sweep", False].stages_left == SWEEP.stages[2:]
    assert found["tune", False].stages_left == TUNE.stages[2:]


def test_of_two_reports_with_other_prices_the_later_one_is_shown(store: ArtifactStore) -> None:
    config = experiment()
    division = begin(store, config, SWEEP)
    last = go_on(store, config, SWEEP, division, num_stages=3)
    for digit, year in (("1", 2027), ("2", 2026)):
        report(store, config, SWEEP, last, key=f"build_report/{16 * digit}", finished_at=f"{year}-01-01T00:00:00+00:00")
    (run,) = runs_of(store)
    assert run.report is not None
    assert run.report.key == f"build_report/{16 * '1'}"


def test_a_report_of_an_earlier_version_is_a_run(store: ArtifactStore) -> None:
    config = experiment()
    division = begin(store, config, TUNE, records=False)
    last = go_on(store, config, TUNE, division, num_stages=3)
    summary = "digits: the student should learn in 3 of 6 ordered pairs"
    made = report(store, config, TUNE, last, names_run=False, summary=summary)
    (run,) = runs_of(store)
    assert (run.name, run.key, run.strategy, run.started_at) == ("digits-0000", made.key, "tune", None)
    assert run.headline == "the student should learn in 3 of 6 ordered pairs"
    # Once the command is repeated, the record and the report are one run.
    begin(store, config, TUNE)
    (run,) = runs_of(store)
    assert run.key.startswith("run/")
    assert run.report == made


@pytest.mark.parametrize(("num_stages", "strategy"), [(0, None), (1, None), (2, "tune"), (3, "tune")])
def test_unfinished_work_of_an_earlier_version_is_a_run(
    store: ArtifactStore, num_stages: int, strategy: str | None
) -> None:
    config = experiment()
    last = go_on(store, config, TUNE, begin(store, config, TUNE, records=False), num_stages=num_stages)
    (run,) = runs_of(store)
    assert (run.key, run.pipeline, run.strategy) == (last.key, "jointkd", strategy)
    assert run.name.startswith("digits-")
    assert run.stages_left[-1] in ("build_report", "report_choices")
    if strategy:
        assert run.stages_left == TUNE.stages[1 + num_stages :]


def test_a_damaged_manifest_is_reported_and_the_other_runs_are_listed(store: ArtifactStore, tmp_path: Path) -> None:
    finish(store, experiment())
    (tmp_path / "runs" / "dataset" / "0123456789abcdef" / "manifest.json").write_text("{}")
    said: list[str] = []
    (run,) = list_runs(store, notify=said.append)
    assert run.is_finished
    assert len(said) == 1
    assert "dataset/0123456789abcdef" in said[0]


def test_a_run_is_found_by_its_name_its_keys_and_their_beginnings(store: ArtifactStore) -> None:
    made = finish(store, experiment("name=first"))
    begin(store, experiment("name=second seed=1"), SWEEP)
    runs = runs_of(store)
    first = next(run for run in runs if run.is_finished)
    digits = first.key.removeprefix("run/")
    for text in ("first", first.name, first.key, digits, digits[:7], made.key, "build_report/00", 64 * "c", "cccccccc"):
        assert find_run(runs, text) == first
    assert find_run(runs, "latest") == runs[0]
    for text, message in (
        ("frist-dirichlet0.3", f"got frist-dirichlet0.3 (did you mean {first.name}?)."),
        ("lates", "got lates (did you mean latest?)."),
        ("run/", f"RUN must name one run, got run/, which fits {runs[0].name}, {runs[1].name}."),
    ):
        with pytest.raises(ValueError, match=re.escape(message) + "$"):
            find_run(runs, text)


def test_the_run_that_began_last_is_first(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (2, 1, 3):
        monkeypatch.setattr("peerkd.stages.run_record.now", lambda seed=seed: f"2026-01-0{seed}T00:00:00+00:00")
        begin(store, experiment(f"seed={seed}"), SWEEP)
    assert [run.started_at for run in runs_of(store)] == [f"2026-01-0{day}T00:00:00+00:00" for day in (3, 2, 1)]


@pytest.fixture
def peerkd(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[Any, str, str]]:
    """Run the command in a temporary folder; return the exit code, and what it wrote to stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[Any, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["peerkd", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of an empty prefix on an S3 server."""
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PEERKD_CACHE_FOLDER", str(tmp_path / "cache"))
    return f"s3://{server.bucket}/{uuid4().hex}"


def test_runs_are_listed_with_their_results_and_what_is_left(
    peerkd: Callable[..., tuple[Any, str, str]], store: ArtifactStore
) -> None:
    finish(store, experiment("name=first"))
    begin(store, experiment("name=second seed=1"), SWEEP)
    code, out, err = peerkd("runs")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "STARTED", "(UTC)", "PIPELINE", "COST", "SIZE"]
    text = "\n".join(lines)
    assert "    the student should learn in 12 of 90 ordered pairs, " in text
    assert "    left: pretrain_peers, distill_pairs, improve_peers, build_report" in text
    (line,) = (line for line in lines if line.startswith("first-dirichlet0.3-"))
    assert "finished" in line.split()
    assert "jointkd sweep  6 min" in line
    _, listed, _ = peerkd("runs", "--json")
    first = next(run for run in json.loads(listed) if run["state"] == "finished")
    assert (first["worker_seconds"], first["stages_left"], first["strategy"]) == (360, [], "sweep")


@pytest.mark.parametrize("is_remote", [False, True], ids=["folder", "s3"])
def test_a_run_is_shown_and_opened(
    peerkd: Callable[..., tuple[Any, str, str]],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    is_remote: bool,
) -> None:
    place = request.getfixturevalue("address") if is_remote else str(tmp_path / "runs")
    finish(open_store(place), experiment())
    code, out, err = peerkd("show", "latest", "--store", place)
    assert (code, err) == (0, "")
    assert "the content of summary.txt" in out
    paths = dict(line.split(": ") for line in out.splitlines()[-6:])
    assert list(paths) == ["Report", "Table", "Cost", "Better peers", "Trials", "Peers"]
    assert Path(paths["Report"]).read_text() == "the content of report.html"
    assert Path(paths["Table"]).name == "pairs.csv"
    assert paths["Better peers"].startswith(f"{place}/improve_peers/")
    shown = json.loads(peerkd("show", "digits", "--json", "--store", place)[1])
    assert shown["summary"] == "the content of summary.txt"
    assert shown["paths"]["report"] == paths["Report"]
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: not opened.append(address))
    assert peerkd("open", "latest", "--store", place) == (0, f"{paths['Report']}\n", "")
    assert opened == [Path(paths["Report"]).as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    code, out, err = peerkd("open", "latest", "--store", place)
    assert (code, out) == (0, f"{paths['Report']}\n")
    assert err == "peerkd: no browser was found; open the file above in one.\n"


def test_an_unfinished_run_is_shown_with_what_is_left_and_has_no_report_to_open(
    peerkd: Callable[..., tuple[Any, str, str]], store: ArtifactStore
) -> None:
    config = experiment()
    go_on(store, config, SWEEP, begin(store, config, SWEEP), num_stages=1)
    (run,) = runs_of(store)
    code, out, _ = peerkd("show", "latest")
    assert code == 0
    assert "\nLeft: distill_pairs, improve_peers, build_report. To continue, repeat the command" in out
    assert "\nPeers: " in out
    code, out, err = peerkd("open", "latest")
    assert (code, out) == (2, "")
    assert err == (
        f"peerkd: RUN must be a finished run, got {run.name}, which lacks distill_pairs, improve_peers, build_report.\n"
    )


def test_a_wrong_place_is_one_sentence(peerkd: Callable[..., tuple[Any, str, str]], tmp_path: Path) -> None:
    told = (
        f"output must be the folder of a store, got runs, which begins at {tmp_path}: no such folder exists; call the "
        "command where the run was started, or name its store with --output."
    )
    assert peerkd("runs") == (2, "", f"peerkd: {told}\n")
    code, _, err = peerkd("runs", "--output", "a", "--store", "b")
    assert (code, err) == (2, "peerkd: output must not be given together with store, which names another place.\n")
    (tmp_path / "runs").mkdir()
    assert peerkd("runs") == (0, "", f"peerkd: {tmp_path / 'runs'} has no runs.\n")
    assert peerkd("runs", "--json") == (0, "[]\n", "")
    assert peerkd("show", "latest") == (
        2,
        "",
        "peerkd: RUN must be a run of the store, which has none, got latest.\n",
    )
