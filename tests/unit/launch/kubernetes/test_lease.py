import itertools

import pytest

from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.lease import LeaseRenewer, lease_now
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import eventually


@pytest.fixture
def uid(kubernetes: FakeKubernetes) -> str:
    return kubernetes.store.put("pytorchjobs", NAMESPACE, {"metadata": {"name": "job"}})["metadata"]["uid"]


def value(kubernetes: FakeKubernetes) -> str:
    job = kubernetes.store.get("pytorchjobs", NAMESPACE, "job")
    assert job is not None
    return (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_LEASE_RENEWED, "")


def lease(connection: Cluster, uid: str) -> LeaseRenewer:
    numbers = itertools.count(1)
    job = PYTORCHJOB.read({"metadata": {"name": "job", "uid": uid}})
    return LeaseRenewer(connection, job, lease_seconds=0.08, now=lambda: str(next(numbers)), retry_seconds=0.01)


def test_the_value_changes_until_it_is_released(connection: Cluster, kubernetes: FakeKubernetes, uid: str) -> None:
    with lease(connection, uid):
        eventually(lambda: int(value(kubernetes) or 0) >= 3)
    eventually(lambda: len(kubernetes.asked("PATCH")) >= 3)


def test_the_lease_is_renewed_as_soon_as_the_api_answers_again(
    connection: Cluster, kubernetes: FakeKubernetes, uid: str
) -> None:
    fault = kubernetes.fail(503, method="PATCH", times=5)
    with lease(connection, uid):
        eventually(lambda: value(kubernetes) != "")
    assert fault.num_left == 0


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_transient_failure_does_not_end_the_renewal(
    connection: Cluster, kubernetes: FakeKubernetes, uid: str, status: int
) -> None:
    fault = kubernetes.fail(status, method="PATCH", times=3)
    with lease(connection, uid):
        eventually(lambda: value(kubernetes) != "")
    assert fault.num_left == 0


def test_a_later_job_of_the_name_is_not_touched(connection: Cluster, kubernetes: FakeKubernetes, uid: str) -> None:
    with lease(connection, "another") as kept:
        kept._renew()
    assert value(kubernetes) == ""


def test_a_lease_is_a_readable_time() -> None:
    assert lease_now().endswith("+00:00")
