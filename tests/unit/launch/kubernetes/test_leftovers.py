"""What an earlier TrainJob leaves behind, which a new job of the same name would be mistaken for."""

import signal
from datetime import UTC, datetime, timedelta

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.signals import DeleteOnSignal
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import Object, now
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually, jobs


@pytest.fixture
def kind() -> JobKind:
    return TRAINJOB


def pods(kubernetes: FakeKubernetes) -> list[Object]:
    return kubernetes.store.list("pods", NAMESPACE)


def policies(kubernetes: FakeKubernetes) -> list[str]:
    """Return the propagation policy of each deletion of a job."""
    return [request.body["propagationPolicy"] for request in kubernetes.asked("DELETE", "/trainjobs")]


def mark_as_deleted_in_the_foreground(kubernetes: FakeKubernetes, operator: Operator) -> None:
    operator.change_job({"metadata": {"deletionTimestamp": now()}})


def test_a_job_is_created_once_the_pods_of_an_earlier_job_are_gone(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, connection: Cluster
) -> None:
    """The launcher of the earlier job was stopped, and had no time to wait for its pods."""
    first = launch()
    operator.start()
    (job,) = jobs(kubernetes)
    kubernetes.seconds_until_gone = 0.5
    on_signal = DeleteOnSignal(connection, TRAINJOB.resource)
    on_signal.set_job(job["metadata"]["name"], job["metadata"]["uid"])
    with on_signal, pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(JobFailedError, match="was deleted"):
        first.result()
    assert pods(kubernetes)
    num_pods: list[int] = []
    kubernetes.on_create = lambda _: num_pods.append(len(pods(kubernetes)))
    second = launch()
    assert num_pods == [0, 0]
    assert policies(kubernetes) == ["Background"]
    operator.complete()
    second.result()


def test_a_job_that_is_being_deleted_is_deleted_in_the_background_and_created_anew(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Trainer would create the JobSet of a job that is deleted in the foreground again and again."""
    first = launch()
    operator.start()
    uid = operator.job()["metadata"]["uid"]
    kubernetes.seconds_until_gone = 0.5
    kubernetes.fail(500, times=float("inf"), method="DELETE")
    mark_as_deleted_in_the_foreground(kubernetes, operator)
    second = launch(made=False)
    said: list[str] = []
    eventually(lambda: said.append(capsys.readouterr().out) or "is being deleted; waiting until" in "".join(said))
    num_pods: list[int] = []
    kubernetes.on_create = lambda _: num_pods.append(len(pods(kubernetes)))
    kubernetes.faults.clear()
    eventually(lambda: [each for each in jobs(kubernetes) if each["metadata"]["uid"] != uid])
    assert set(num_pods) == {0}
    assert set(policies(kubernetes)) == {"Background"}
    with pytest.raises(JobFailedError, match="was deleted"):
        first.result()
    operator.complete()
    second.result()


def test_a_launcher_ends_the_deletion_of_its_job_in_the_foreground(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    operator.start()
    mark_as_deleted_in_the_foreground(kubernetes, operator)
    with pytest.raises(JobFailedError, match="was deleted before it had ended"):
        started.result()
    assert policies(kubernetes) == ["Background"]
    assert (jobs(kubernetes), pods(kubernetes)) == ([], [])


def test_a_launcher_that_fails_deletes_its_job_in_the_background(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(deadline_seconds=0.1)
    operator.start()
    with pytest.raises(JobFailedError, match="deadline_seconds"):
        started.result()
    assert policies(kubernetes) == ["Background"]


@pytest.mark.parametrize(("running_seconds", "is_late"), [(10, False), (1000, True)])
def test_the_deadline_of_an_adopted_job_does_not_count_the_time_without_nodes(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, running_seconds: float, is_late: bool
) -> None:
    first = launch()
    operator.start()
    operator.started("2026-01-01T00:00:00Z")
    began = datetime.now(UTC) - timedelta(seconds=running_seconds)
    state = {"running": {"startedAt": began.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    operator.set_pod(0, {"phase": "Running", "containerStatuses": [{"name": TRAINJOB.container, "state": state}]})
    adopting = launch(deadline_seconds=500)
    if is_late:
        with pytest.raises(JobFailedError, match=r"deadline_seconds \(500 s\)"):
            adopting.result()
        with pytest.raises(JobFailedError, match="was deleted"):
            first.result()
        return
    eventually(lambda: len(kubernetes.asked("GET", "/log")) >= 2)
    operator.complete()
    adopting.result()
    first.result()
