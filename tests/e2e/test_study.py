"""The same study gives the same results on the cluster and on this machine."""

from pathlib import Path

import pytest

from tests.e2e.kfp_pods import COLLABORATE, run_as_pods
from tests.e2e.kind import RESOURCE
from tests.e2e.kubectl import items
from tests.e2e.studies import (
    NAMESPACE,
    ROUNDS,
    SHORT,
    TOGETHER,
    TUNED,
    Site,
    Study,
    choices_fingerprint,
    curves_fingerprint,
    key_of_better_peers,
    rounds_fingerprint,
    trials_fingerprint,
)


@pytest.fixture(scope="module")
def sweep_here(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the fingerprint of the trials on this machine, and the key of the better peers."""
    ended = Study(site, tmp_path_factory.mktemp("here"), backend="local").run()
    assert ended.returncode == 0, ended.stdout
    return trials_fingerprint(ended.stdout), key_of_better_peers(ended.stdout)


@pytest.fixture
def fingerprint_here(sweep_here: tuple[str, str]) -> str:
    return sweep_here[0]


@pytest.fixture(scope="module")
def tuned_here(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the fingerprint and the plan of the tuned study on this machine."""
    folder = tmp_path_factory.mktemp("tuned")
    ended = Study(site, folder, TUNED, strategy="tune", backend="local").run()
    assert ended.returncode == 0, ended.stdout
    return choices_fingerprint(ended.stdout), _plan(folder)


@pytest.fixture
def choices_here(tuned_here: tuple[str, str]) -> str:
    return tuned_here[0]


@pytest.fixture(scope="module")
def rounds_here(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the fingerprint of the rounds on this machine."""
    folder = tmp_path_factory.mktemp("rounds")
    ended = Study(site, folder, ROUNDS, pipeline="collaborate", backend="local").run()
    assert ended.returncode == 0, ended.stdout
    return rounds_fingerprint(ended.stdout)


def test_jobs_with_two_workers_under_restricted_give_the_results_of_a_laptop(
    site: Site, tmp_path: Path, sweep_here: tuple[str, str]
) -> None:
    study = Study(site, tmp_path)
    ended = study.run()
    assert ended.returncode == 0, ended.stdout
    assert (trials_fingerprint(ended.stdout), key_of_better_peers(ended.stdout)) == sweep_here
    assert "[worker 0]" in ended.stdout
    assert "[worker 1]" in ended.stdout
    (report,) = (tmp_path / "build_report").glob("*/report.html")
    assert "peerkd" in report.read_text(encoding="utf-8")
    again = study.run()
    assert "distill_pairs: already done" in again.stdout


def test_two_workers_give_the_tuned_study_of_a_laptop(site: Site, tmp_path: Path, tuned_here: tuple[str, str]) -> None:
    study = Study(site, tmp_path, TUNED, strategy="tune")
    ended = study.run()
    assert ended.returncode == 0, ended.stdout
    assert (choices_fingerprint(ended.stdout), _plan(tmp_path)) == tuned_here
    again = study.run()
    assert "tune_pairs: already done" in again.stdout


def test_pcl_with_two_workers_gives_the_results_of_two_processes_on_a_laptop(site: Site, tmp_path: Path) -> None:
    here = Study(site, tmp_path / "here", TOGETHER, pipeline="pcl", backend="local").run()
    assert here.returncode == 0, here.stdout
    there = Study(site, tmp_path / "there", TOGETHER, pipeline="pcl").run()
    assert there.returncode == 0, there.stdout
    assert curves_fingerprint(there.stdout) == curves_fingerprint(here.stdout)


def test_rounds_with_two_workers_give_the_results_of_a_laptop(site: Site, tmp_path: Path, rounds_here: str) -> None:
    study = Study(site, tmp_path, ROUNDS, pipeline="collaborate")
    ended = study.run()
    assert ended.returncode == 0, ended.stdout
    assert rounds_fingerprint(ended.stdout) == rounds_here
    assert "[worker 1]" in ended.stdout
    (report,) = (tmp_path / "report_rounds").glob("*/report.html")
    assert "Who taught whom" in report.read_text(encoding="utf-8")
    again = study.run()
    assert "collaborate_peers: already done" in again.stdout


def test_each_component_runs_as_a_pod_of_a_pipeline(site: Site, fingerprint_here: str) -> None:
    logs = run_as_pods(site, {"strategy": "sweep", "overrides": " ".join(SHORT)})
    assert trials_fingerprint(logs["train-and-report"]) == fingerprint_here
    assert items(RESOURCE, namespace=NAMESPACE)


def test_each_component_of_a_tuned_study_runs_as_a_pod_of_a_pipeline(site: Site, choices_here: str) -> None:
    logs = run_as_pods(site, {"strategy": "tune", "overrides": " ".join(TUNED)})
    assert choices_fingerprint(logs["train-and-report"]) == choices_here


def test_each_component_of_rounds_runs_as_a_pod_of_a_pipeline(site: Site, rounds_here: str) -> None:
    logs = run_as_pods(site, {"overrides": " ".join(ROUNDS)}, compiled=COLLABORATE)
    assert rounds_fingerprint(logs["train-and-report"]) == rounds_here


def _plan(folder: Path) -> str:
    (plan,) = (folder / "report_choices").glob("*/plan.csv")
    return plan.read_text(encoding="utf-8")
