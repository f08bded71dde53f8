"""The creation of a job that another launcher, an error or a signal interrupts."""

import os
import signal
from datetime import UTC, datetime

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.creation import JobCreator
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.kubernetes.signals import DeleteOnSignal
from peerkd.launch.order import StageOrder
from peerkd.launch.retries import ClusterRetries
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import Object
from tests.unit.launch.kubernetes.conftest import jobs, of_all_kinds


@pytest.fixture
def on_signal(connection: Cluster) -> DeleteOnSignal:
    return DeleteOnSignal(connection, TRAINJOB.resource)


@pytest.fixture
def creator(connection: Cluster, order: StageOrder, on_signal: DeleteOnSignal) -> JobCreator:
    return creator_of(TRAINJOB, ClusterConfig(), connection, order, on_signal)


def creator_of(
    kind: JobKind, cluster: ClusterConfig, connection: Cluster, order: StageOrder, on_signal: DeleteOnSignal
) -> JobCreator:
    def sleep(_: float) -> None:
        raise AssertionError("nothing is to be waited for")

    return JobCreator(
        connection,
        kind,
        manifest_for(order, cluster, kind=kind, run_id="run-1", environment={}),
        owner=None,
        on_signal=on_signal,
        retries=lambda: ClusterRetries(1.0),
        notify=lambda _: None,
        requested_at=datetime.now(UTC),
        sleep=sleep,
    )


def give_to_multikueue(made: Object) -> None:
    """Change an object as the webhook of Kueue changes a job whose queue sends jobs to other clusters."""
    if made["kind"] == "PyTorchJob":
        made["spec"]["runPolicy"]["managedBy"] = "kueue.x-k8s.io/multikueue"
    elif made["kind"] == "TrainJob":
        made["spec"]["managedBy"] = "kueue.x-k8s.io/multikueue"


@of_all_kinds
def test_a_job_that_multikueue_would_send_to_another_cluster_is_refused_and_deleted(
    kind: JobKind, connection: Cluster, order: StageOrder, kubernetes: FakeKubernetes
) -> None:
    kubernetes.on_create = give_to_multikueue
    on_signal = DeleteOnSignal(connection, kind.resource)
    creator = creator_of(kind, ClusterConfig(queue="everywhere"), connection, order, on_signal)
    with pytest.raises(
        ValueError, match=r"^queue must be a queue of this cluster, got everywhere, which sends jobs to"
    ):
        creator.create()
    assert len(kubernetes.asked("POST", f"/{kind.resource.plural}")) == 1
    assert jobs(kubernetes) == kubernetes.store.list("trainingruntimes", NAMESPACE) == []


def refuse_owners(kubernetes: FakeKubernetes) -> None:
    kubernetes.fail(422, method="PATCH", path="/trainingruntimes")


def test_a_job_is_gone_once_another_launcher_has_created_the_next_one(
    creator: JobCreator, kubernetes: FakeKubernetes
) -> None:
    earlier = TRAINJOB.read({"metadata": {"name": "job", "uid": "earlier"}})
    kubernetes.store.put("trainjobs", NAMESPACE, {"metadata": {"name": "job", "uid": "next"}})
    kubernetes.store.put("jobsets", NAMESPACE, {"metadata": {"name": "job", "uid": "job-set-of-next"}})
    creator.remove(earlier)
    assert [job["metadata"]["uid"] for job in jobs(kubernetes)] == ["next"]


def test_a_job_is_deleted_if_its_runtime_cannot_be_given_to_it(creator: JobCreator, kubernetes: FakeKubernetes) -> None:
    refuse_owners(kubernetes)
    with pytest.raises(ClusterRefusedError):
        creator.create()
    assert len(kubernetes.asked("POST", "/trainjobs")) == 1
    assert jobs(kubernetes) == []


def test_a_job_that_existed_before_is_kept_if_its_runtime_cannot_be_given_to_it(
    creator: JobCreator, kubernetes: FakeKubernetes
) -> None:
    creator.create()
    refuse_owners(kubernetes)
    with pytest.raises(ClusterRefusedError):
        creator.create()
    assert len(jobs(kubernetes)) == 1


def test_a_signal_deletes_a_job_whose_creation_fails_afterwards(
    creator: JobCreator, on_signal: DeleteOnSignal, kubernetes: FakeKubernetes
) -> None:
    def stop(made: Object) -> None:
        if "runtimeRef" in made["spec"]:
            os.kill(os.getpid(), signal.SIGTERM)

    kubernetes.on_create = stop
    refuse_owners(kubernetes)
    with on_signal, pytest.raises(SystemExit):
        creator.create()
    assert len(kubernetes.asked("POST", "/trainjobs")) == 1
    assert jobs(kubernetes) == []


def test_the_cluster_refuses_to_create_or_change_a_job_without_its_runtime(
    connection: Cluster, creator: JobCreator, kubernetes: FakeKubernetes
) -> None:
    job = creator.create()
    (runtime,) = kubernetes.store.list("trainingruntimes", NAMESPACE)
    kubernetes.store.remove("trainingruntimes", NAMESPACE, runtime["metadata"]["name"])
    manifest = {**jobs(kubernetes)[0], "metadata": {"name": "another"}}
    with pytest.raises(ClusterRefusedError, match=TRAINJOB.missing_prerequisite):
        connection.patch(TRAINJOB.resource, job.name, {"metadata": {"annotations": {"a": "b"}}})
    for is_dry_run in (True, False):
        with pytest.raises(ClusterRefusedError, match=TRAINJOB.missing_prerequisite):
            connection.create(TRAINJOB.resource, manifest, is_dry_run=is_dry_run)


def test_a_dry_run_creates_nothing(connection: Cluster, kubernetes: FakeKubernetes) -> None:
    connection.create(TRAINJOB.resource, {"metadata": {"name": "job"}}, is_dry_run=True)
    assert jobs(kubernetes) == []
