import json
import platform
import re
import shutil
from pathlib import Path

import pytest

from peerkd.cli import cluster_checks, machine_checks
from peerkd.launch.doctor.check import CheckResult

FOUND = [
    CheckResult("cluster", True, "It is there."),
    CheckResult("queue", False, "It is not.", "Make it."),
    CheckResult("nodes", None, "You may not list nodes, so this was not checked."),
]


@pytest.fixture
def _examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "here")
    monkeypatch.setattr(cluster_checks, "connect", lambda *, namespace: f"cluster of {namespace}")
    monkeypatch.setattr(cluster_checks, "examine", lambda cluster, settings, **_: iter(FOUND))


@pytest.mark.usefixtures("_examined")
def test_each_finding_is_a_line_and_a_failure_says_how_to_fix_it(peerkd) -> None:
    outcome = peerkd("doctor")
    assert (outcome.exit_code, outcome.err) == (1, "")
    assert outcome.out == (
        "ok  cluster: It is there.\n"
        "NO  queue: It is not.\n    -> Make it.\n"
        "??  nodes: You may not list nodes, so this was not checked.\n"
        "\n3 checks, 1 failed.\n"
    )


@pytest.mark.usefixtures("_examined")
def test_a_check_that_could_not_be_made_is_not_a_failure(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_checks, "examine", lambda *_, **__: iter([FOUND[0], FOUND[2]]))
    assert peerkd("doctor").exit_code == 0


@pytest.mark.usefixtures("_examined")
def test_findings_are_json_for_programs(peerkd) -> None:
    outcome = peerkd("doctor", "--json")
    assert outcome.exit_code == 1
    assert json.loads(outcome.out) == [result._asdict() for result in FOUND]


def test_the_settings_of_a_job_are_those_that_are_checked(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(cluster_checks, "connect", lambda *, namespace: namespace)
    monkeypatch.setattr(cluster_checks, "examine", lambda *args, **more: given.append((args, more)) or iter([]))
    options = ("--workers", "2", "--gpus", "8", "--cluster", "queue=q namespace=theirs", "--store", "s3://b/p")
    assert peerkd("doctor", *options).exit_code == 0
    assert peerkd("doctor", *options, "--namespace", "mine").exit_code == 0
    (cluster, settings), more = given[0]
    assert (cluster, settings.num_workers, settings.gpus_per_worker, settings.queue) == ("theirs", 2, 8, "q")
    assert (more["store_address"], more["task_account"]) == ("s3://b/p", "peerkd-launcher")
    of_tasks = more["resolve"]({"PEERKD_CLUSTER": "queue: theirs\nimage: registry.example/trainer:7\n"})
    assert (of_tasks.image, of_tasks.queue, of_tasks.gpus_per_worker) == ("registry.example/trainer:7", "q", 8)
    assert given[1][0][0] == "mine"


def test_a_missing_cluster_is_reported_in_a_sentence(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "none.yaml")
    outcome = peerkd("doctor")
    assert outcome.exit_code == 2
    assert outcome.err.startswith("peerkd: KUBECONFIG must name a file that describes a cluster: ")
    assert outcome.err.count("\n") == 1


@pytest.fixture
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("_no_cluster")
def test_without_a_cluster_this_machine_is_checked(peerkd) -> None:
    outcome = peerkd("doctor", "--json")
    assert (outcome.exit_code, outcome.err) == (0, "")
    results = {each["name"]: each for each in json.loads(outcome.out)}
    assert list(results) == ["python", "packages", "device", "memory", "disk"]
    assert platform.python_version() in results["python"]["sentence"]
    assert "are free for runs" in results["disk"]["sentence"]


@pytest.mark.usefixtures("_no_cluster")
def test_an_apple_gpu_is_found(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_checks, "choose_device", lambda _: ("mps", 1))
    monkeypatch.setattr(machine_checks, "count_cores", lambda: 8)
    assert "ok  device: An Apple GPU and 8 cores. One student at a time trains on this GPU." in peerkd("doctor").out


@pytest.mark.usefixtures("_no_cluster")
def test_the_data_and_the_disk_are_checked_for_an_experiment(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = peerkd("doctor", "--pipeline", "pcl", "--set", "num_seeds=3")
    assert outcome.exit_code == 0
    assert "ok  data: A run would accept the config and its data.\n" in outcome.out
    assert ", and the run writes about " in outcome.out
    outcome = peerkd("doctor", "--set", "partition.num_peers=1000")
    assert outcome.exit_code == 1
    assert "NO  data: partition.num_peers must be at most 107" in outcome.out
    disk = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    outcome = peerkd("doctor", "--set", "seed=3")
    assert outcome.exit_code == 1
    assert re.search(r"^NO  disk: 1,?000 bytes are free for runs, and the run writes about ", outcome.out, re.M)


@pytest.mark.usefixtures("_no_cluster")
def test_a_missing_package_is_named_with_its_extra(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = ("kfp", "jinja2")
    monkeypatch.setattr(machine_checks, "find_spec", lambda name: None if name in missing else object())
    outcome = peerkd("doctor")
    assert outcome.exit_code == 1
    assert "NO  packages: Missing: kfp, Jinja2.\n    -> pip install 'peerkd[pipeline,report]'\n" in outcome.out


def test_an_experiment_is_not_checked_on_a_cluster(peerkd) -> None:
    outcome = peerkd("doctor", "--namespace", "peerkd", "--preset", "digits")
    assert outcome.exit_code == 2
    assert outcome.err.startswith("peerkd: preset, config and set must not be given together with options of a cluster")
