"""The reaper runs in its threads next to a launcher, with an API over HTTP."""

import math
import threading
from collections.abc import Callable, Iterator

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes import reaper, workflows
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.reaper import run_reaper
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import Launch, eventually, jobs, of_all_kinds

WORKFLOW = {"metadata": {"name": "run-x", "uid": "uid-of-run"}, "spec": {}, "status": {"phase": "Running"}}
POD = {
    "metadata": {
        "name": "launcher",
        "ownerReferences": [
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "controller": True}
            | {"name": "run-x", "uid": "uid-of-run"}
        ],
    }
}


@pytest.fixture
def logged(kubernetes: FakeKubernetes, connection: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Run a reaper while a Workflow is running, and return its log."""
    monkeypatch.setattr(reaper, "INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(workflows, "_PAUSE_SECONDS", 0.1)
    kubernetes.store.put("workflows", NAMESPACE, WORKFLOW)
    kubernetes.store.put("pods", NAMESPACE, POD)
    logged: list[str] = []
    stop = threading.Event()
    run_reaper(connection, JOB_KINDS, stop=stop, log=logged.append)
    eventually(lambda: any(each.is_watch for each in kubernetes.asked("GET", "workflows")))
    yield logged
    stop.set()


@of_all_kinds
def test_the_job_of_a_terminated_run_is_deleted_and_not_created_again(
    logged: list[str], kubernetes: FakeKubernetes, operator: Operator, launch: Callable[..., Launch]
) -> None:
    launched = launch(environment={"KFP_POD_NAME": "launcher"})
    operator.start()
    (job,) = jobs(kubernetes)
    kubernetes.store.put("workflows", NAMESPACE, {**WORKFLOW, "spec": {"activeDeadlineSeconds": 0}})
    eventually(lambda: not jobs(kubernetes), what="the reaper does not delete the job")
    with pytest.raises(JobFailedError):
        launched.result()
    assert jobs(kubernetes) == []
    line = f"deleted {job['metadata']['name']}, because its Workflow run-x was terminated."
    eventually(lambda: line in logged)


def test_the_job_of_a_running_workflow_survives_an_outage(
    logged: list[str], kubernetes: FakeKubernetes, operator: Operator, launch: Callable[..., Launch]
) -> None:
    launched = launch(environment={"KFP_POD_NAME": "launcher"})
    operator.start()
    kubernetes.stop()
    eventually(lambda: any(each.startswith("waiting: ") for each in logged))
    kubernetes.start()
    eventually(lambda: "the cluster answers again; all leases are observed from now on." in logged)
    operator.succeed()
    launched.result()
    assert not any(each.startswith("deleted") for each in logged)


def test_workflows_are_watched_soon_after_argo_is_installed(
    kubernetes: FakeKubernetes,
    connection: Cluster,
    operator: Operator,
    launch: Callable[..., Launch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A cluster without Argo answers requests for Workflows with 404."""
    monkeypatch.setattr(reaper, "INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(workflows, "_PAUSE_WITHOUT_ARGO_SECONDS", 0.1)
    uninstalled = kubernetes.fail(404, times=math.inf, path="/workflows", message="the server could not find it")
    logged: list[str] = []
    stop = threading.Event()
    run_reaper(connection, JOB_KINDS, stop=stop, log=logged.append)
    eventually(lambda: len(kubernetes.asked("GET", "workflows")) > 2)
    uninstalled.num_left = 0
    kubernetes.store.put("workflows", NAMESPACE, WORKFLOW)
    kubernetes.store.put("pods", NAMESPACE, POD)
    launched = launch(environment={"KFP_POD_NAME": "launcher"})
    operator.start()
    kubernetes.store.put("workflows", NAMESPACE, {**WORKFLOW, "spec": {"activeDeadlineSeconds": 0}})
    with pytest.raises(JobFailedError):
        launched.result()
    assert jobs(kubernetes) == []
    assert logged[1:3] == [
        "this cluster has no Workflows: only leases are watched.",
        "Workflows are watched from now on.",
    ]
    stop.set()
