import json

import pytest

from peerkd.cli import doctor
from peerkd.launch.doctor.check import CheckResult

FOUND = [
    CheckResult("cluster", True, "It is there."),
    CheckResult("queue", False, "It is not.", "Make it."),
    CheckResult("nodes", None, "You may not list nodes, so this was not checked."),
]


@pytest.fixture
def _examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "connect", lambda *, namespace: f"cluster of {namespace}")
    monkeypatch.setattr(doctor, "examine", lambda cluster, settings, kinds, **_: iter(FOUND))


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
    monkeypatch.setattr(doctor, "examine", lambda *_, **__: iter([FOUND[0], FOUND[2]]))
    assert peerkd("doctor").exit_code == 0


@pytest.mark.usefixtures("_examined")
def test_findings_are_json_for_programs(peerkd) -> None:
    outcome = peerkd("doctor", "--json")
    assert outcome.exit_code == 1
    assert json.loads(outcome.out) == [result._asdict() for result in FOUND]


def test_the_settings_of_a_job_are_those_that_are_checked(peerkd, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(doctor, "connect", lambda *, namespace: namespace)
    monkeypatch.setattr(doctor, "examine", lambda *args, **more: given.append((args, more)) or iter([]))
    options = ("--workers", "2", "--gpus", "8", "--cluster", "queue=q namespace=theirs", "--store", "s3://b/p")
    assert peerkd("doctor", *options).exit_code == 0
    assert peerkd("doctor", *options, "--namespace", "mine").exit_code == 0
    (cluster, settings, _), more = given[0]
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
