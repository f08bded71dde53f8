"""The same study on the cluster and on this machine."""

from pathlib import Path

import pytest

from tests.e2e.kfp_pods import Pipeline, environment
from tests.e2e.kubectl import items
from tests.e2e.studies import NAMESPACE, SHORT, TOGETHER, Site, Study, curves_fingerprint, trials_fingerprint

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fingerprint_here(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    ended = Study(site, tmp_path_factory.mktemp("here"), backend="local").run()
    assert ended.returncode == 0, ended.stdout
    return trials_fingerprint(ended.stdout)


def test_jobs_of_two_workers_under_restricted_find_what_a_laptop_finds(
    site: Site, tmp_path: Path, fingerprint_here: str
) -> None:
    study = Study(site, tmp_path)
    ended = study.run()
    assert ended.returncode == 0, ended.stdout
    assert trials_fingerprint(ended.stdout) == fingerprint_here
    assert "[worker 0]" in ended.stdout
    assert "[worker 1]" in ended.stdout
    (report,) = (tmp_path / "build_report").glob("*/report.html")
    assert "peerkd" in report.read_text(encoding="utf-8")
    again = study.run()
    assert "distill_pairs: already done" in again.stdout


def test_pcl_under_ddp_finds_with_two_workers_what_two_processes_of_a_laptop_find(site: Site, tmp_path: Path) -> None:
    here = Study(site, tmp_path / "here", TOGETHER, pipeline="pcl", backend="local").run()
    assert here.returncode == 0, here.stdout
    there = Study(site, tmp_path / "there", TOGETHER, pipeline="pcl").run()
    assert there.returncode == 0, there.stdout
    assert curves_fingerprint(there.stdout) == curves_fingerprint(here.stdout)


def test_each_component_runs_as_a_pod_of_a_pipeline(site: Site, fingerprint_here: str) -> None:
    arguments = {"overrides": " ".join(SHORT), "store": f"s3://peerkd/kfp-{id(site):x}", "num_workers": "2"}
    pipeline = Pipeline.load(ROOT / "pipelines" / "jointkd.yaml", arguments, run_id=f"{id(site):x}")
    logs = {
        task: pipeline.run(
            task,
            namespace=NAMESPACE,
            pod=f"task-{task}",
            image=site.control_image,
            service_account="peerkd-launcher",
            env=environment(site),
        )
        for task in pipeline.tasks()
    }
    assert trials_fingerprint(logs["distill-pairs"]) == fingerprint_here
    assert items("pytorchjobs", namespace=NAMESPACE)
