"""TrainingRuntimes that a killed launcher has left behind. The tests move the clock."""

from typing import Any

import pytest

from peerkd.errors import ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS, TRAINJOB
from peerkd.launch.kubernetes.orphans import ORPHAN_SECONDS, OrphanRemover
from peerkd.launch.kubernetes.reaper import Reaper
from peerkd.launch.kubernetes.workflows import Workflows
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import now

RUNTIMES, JOBS = "trainingruntimes", "trainjobs"


class Scene:
    """An ``OrphanRemover``, its clock and its log."""

    def __init__(self, kubernetes: FakeKubernetes, connection: Cluster) -> None:
        self._kubernetes, self._connection = kubernetes, connection
        self.now, self.logged = 0.0, list[str]()
        self.remover = OrphanRemover(connection, JOB_KINDS, log=self.logged.append, clock=lambda: self.now)

    def put(self, plural: str, name: str, *, labels: dict[str, str] = names.OUR_LABELS, **metadata: Any) -> None:
        self._kubernetes.store.put(plural, NAMESPACE, {"metadata": {"name": name, "labels": labels, **metadata}})

    def pass_time(self, seconds: float, *, step: float = 60.0) -> None:
        for _ in range(int(seconds / step)):
            self.now += step
            jobs = self._kubernetes.store.list(JOBS, NAMESPACE)
            self.remover.run_once(TRAINJOB.read(job) for job in jobs)

    @property
    def left(self) -> list[str]:
        return [each["metadata"]["name"] for each in self._kubernetes.store.list(RUNTIMES, NAMESPACE)]


@pytest.fixture
def scene(kubernetes: FakeKubernetes, connection: Cluster) -> Scene:
    return Scene(kubernetes, connection)


def test_a_runtime_without_owner_and_job_is_deleted_after_a_while(scene: Scene) -> None:
    scene.put(RUNTIMES, "peerkd-a-1")
    scene.put(RUNTIMES, "peerkd-owned-1", ownerReferences=[{"kind": "TrainJob", "uid": "job"}])
    scene.put(RUNTIMES, "peerkd-used-1")
    scene.put(JOBS, "peerkd-used")
    scene.put(RUNTIMES, "of-others-1", labels={})
    scene.pass_time(ORPHAN_SECONDS)
    assert "peerkd-a-1" in scene.left
    scene.pass_time(60)
    assert scene.left == ["peerkd-owned-1", "peerkd-used-1", "of-others-1"]
    assert scene.logged == ["deleted peerkd-a-1 (trainingruntimes), because its job does not exist."]


def test_a_runtime_that_a_launcher_has_begun_to_use_is_kept(scene: Scene, kubernetes: FakeKubernetes) -> None:
    scene.put(RUNTIMES, "peerkd-a-1")
    scene.pass_time(ORPHAN_SECONDS)
    kubernetes.fail(409, method="DELETE")
    scene.pass_time(60)
    (request,) = kubernetes.asked("DELETE")
    (runtime,) = kubernetes.store.list(RUNTIMES, NAMESPACE)
    assert request.body["preconditions"] == {
        "uid": runtime["metadata"]["uid"],
        "resourceVersion": runtime["metadata"]["resourceVersion"],
    }
    assert scene.logged == []


def test_a_refusal_is_reported_once_and_a_cluster_without_runtimes_needs_nothing(
    scene: Scene, kubernetes: FakeKubernetes
) -> None:
    kubernetes.fail(404, path=RUNTIMES)
    scene.pass_time(60)
    assert scene.logged == []
    kubernetes.fail(403, times=3, path=RUNTIMES)
    scene.pass_time(180)
    (line,) = scene.logged
    assert line.startswith("objects that killed launchers have left behind cannot be deleted: ")


def test_an_outage_starts_the_measurement_anew(scene: Scene, kubernetes: FakeKubernetes) -> None:
    scene.put(RUNTIMES, "peerkd-a-1")
    scene.pass_time(ORPHAN_SECONDS)
    kubernetes.fail(503, path=RUNTIMES)
    with pytest.raises(ClusterUnavailableError):
        scene.pass_time(60)
    scene.remover.reset()
    scene.pass_time(ORPHAN_SECONDS)
    assert scene.left == ["peerkd-a-1"]


def test_the_reaper_deletes_orphans_and_ends_harmful_deletions(kubernetes: FakeKubernetes, connection: Cluster) -> None:
    logged: list[str] = []
    clock = [0.0]
    reaper = Reaper(
        connection,
        JOB_KINDS,
        Workflows(connection, log=logged.append),
        clock=lambda: clock[0],
        log=logged.append,
    )
    for plural, name in ((JOBS, "peerkd-a"), ("pytorchjobs", "peerkd-b")):
        metadata = {"name": name, "labels": names.OUR_LABELS, "deletionTimestamp": now()}
        kubernetes.store.put(plural, NAMESPACE, {"metadata": metadata})
    kubernetes.store.put(RUNTIMES, NAMESPACE, {"metadata": {"name": "peerkd-a-1", "labels": names.OUR_LABELS}})
    for seconds in range(0, int(ORPHAN_SECONDS) + 180, 60):
        clock[0] = float(seconds)
        reaper.run_once()
    assert [job["metadata"]["name"] for job in kubernetes.jobs(NAMESPACE)] == ["peerkd-b"]
    assert kubernetes.store.list(RUNTIMES, NAMESPACE) == []
    assert [request.body["propagationPolicy"] for request in kubernetes.asked("DELETE")] == ["Background"] * 2
    assert logged == [
        "deleted peerkd-a, because its deletion in the foreground would start it again.",
        "deleted peerkd-a-1 (trainingruntimes), because its job does not exist.",
    ]
