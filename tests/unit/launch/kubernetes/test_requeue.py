"""The tests control the clock of each round and act as Kueue, with an API over HTTP."""

from typing import Any

import pytest

from peerkd.errors import ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.requeue import RECOVERY_SECONDS, Requeuer
from tests.fake_kubernetes.operator import NAMESPACE
from tests.fake_kubernetes.server import FakeKubernetes

RUNNING = {"type": "Running", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
RESTARTING = {**RUNNING, "type": "Restarting"}
NO_NODE = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/20 nodes are available."}
    ],
}
AT_WORK = {"phase": "Running"}
PULLING = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}
LOOK_SECONDS = 15.0


class Scene:
    def __init__(self, kubernetes: FakeKubernetes, cluster: Cluster) -> None:
        self.kubernetes, self.logged, self.now = kubernetes, list[str](), 1000.0
        self.requeuer = self.another(cluster)

    def another(self, cluster: Cluster) -> Requeuer:
        return Requeuer(cluster, log=self.logged.append, clock=lambda: self.now)

    def job(
        self,
        name: str,
        *pods: dict[str, Any],
        queue: str | None = "peerkd",
        conditions: Any = (RUNNING,),
        started: str = "2026-01-01T00:00:00Z",
    ) -> None:
        labels = {**names.OUR_LABELS, **({names.LABEL_QUEUE: queue} if queue else {})}
        self._put(
            "pytorchjobs",
            name,
            labels=labels,
            spec={"runPolicy": {}},
            status={"conditions": [*conditions], "startTime": started},
        )
        for worker, of_pod in enumerate(pods):
            self.pod(name, worker, of_pod)
        labels = {names.LABEL_JOB_OF_WORKLOAD: f"uid-{name}"}
        self._put("workloads", f"workload-{name}", labels=labels, spec={"active": True}, status={"admission": {}})

    def pod(self, job: str, worker: int, status: dict[str, Any]) -> None:
        labels = {**names.OUR_LABELS, PYTORCHJOB.job_label: job, PYTORCHJOB.index_label: str(worker)}
        self._put("pods", f"{job}-worker-{worker}", labels=labels, status=status)

    def workload(self, job: str) -> dict[str, Any]:
        found = self.kubernetes.store.get("workloads", NAMESPACE, f"workload-{job}")
        assert found
        return found

    def evict(self, job: str) -> None:
        """Release the quota of a Workload, as Kueue does some time after it was made inactive."""
        workload = self.workload(job)
        workload["status"].pop("admission")
        self.kubernetes.store.put("workloads", NAMESPACE, workload)

    def look(self, seconds: float = 0.0) -> None:
        """Run a round immediately, and further rounds for a number of seconds."""
        self._look_once()
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            self._look_once()

    def _look_once(self) -> None:
        self.requeuer.run_once(map(PYTORCHJOB.read, self.kubernetes.store.list("pytorchjobs", NAMESPACE)))

    def _put(self, plural: str, name: str, *, labels: dict[str, str], **more: Any) -> None:
        metadata = {"name": name, "uid": f"uid-{name}", "labels": labels}
        self.kubernetes.store.put(plural, NAMESPACE, {"metadata": metadata, **more})


@pytest.fixture
def scene(kubernetes: FakeKubernetes, connection: Cluster) -> Scene:
    return Scene(kubernetes, connection)


def test_a_job_without_nodes_gives_up_its_share_and_then_stands_in_the_queue_again(scene: Scene) -> None:
    scene.job("lost", NO_NODE)
    scene.look(RECOVERY_SECONDS - LOOK_SECONDS)
    assert scene.workload("lost")["spec"]["active"]
    scene.look(LOOK_SECONDS)
    assert not scene.workload("lost")["spec"]["active"]
    assert scene.logged == ["requeued lost, because its pods have had no node for 180 s."]
    # The Workload is inactive as long as it has its share.
    scene.look(3 * LOOK_SECONDS)
    assert not scene.workload("lost")["spec"]["active"]
    scene.evict("lost")
    scene.kubernetes.store.remove("pods", NAMESPACE, "lost-worker-0")
    scene.look()
    assert scene.workload("lost")["spec"]["active"]
    assert names.LABEL_REQUEUED not in scene.workload("lost")["metadata"]["labels"]
    assert len(scene.logged) == 1


def test_a_job_whose_pods_were_seen_to_fail_is_requeued_too(scene: Scene) -> None:
    scene.job("lost", NO_NODE, conditions=(RESTARTING,))
    scene.look(RECOVERY_SECONDS)
    assert not scene.workload("lost")["spec"]["active"]


def test_a_new_reaper_completes_a_requeue_that_a_killed_one_began(scene: Scene, connection: Cluster) -> None:
    scene.job("lost", NO_NODE)
    scene.look(RECOVERY_SECONDS)
    scene.evict("lost")
    scene.requeuer = scene.another(connection)
    scene.look()
    assert scene.workload("lost")["spec"]["active"]


@pytest.mark.parametrize(
    ("pods", "others"),
    [
        pytest.param([AT_WORK, NO_NODE], {}, id="a worker is at work"),
        pytest.param([AT_WORK], {}, id="all are"),
        pytest.param([PULLING], {}, id="a node is there"),
        pytest.param([NO_NODE], {"conditions": ()}, id="it never ran: its nodes may be on their way"),
        pytest.param(
            [NO_NODE],
            {"conditions": (RESTARTING,), "started": "2026-01-01T00:01:00Z"},
            id="it failed before it was in the queue, and is new to its pool",
        ),
        pytest.param([NO_NODE], {"queue": None}, id="no queue"),
    ],
)
def test_other_jobs_are_left_alone(scene: Scene, pods: list[dict[str, Any]], others: dict[str, Any]) -> None:
    scene.job("job", *pods, **others)
    scene.job("in a queue", AT_WORK)
    scene.look(2 * RECOVERY_SECONDS)
    assert scene.kubernetes.asked("PATCH") == []
    assert scene.logged == []


def test_a_job_that_finds_a_node_in_time_begins_at_zero_again(scene: Scene) -> None:
    scene.job("job", NO_NODE)
    scene.look(RECOVERY_SECONDS - LOOK_SECONDS)
    scene.pod("job", 0, AT_WORK)
    scene.look(LOOK_SECONDS)
    scene.pod("job", 0, NO_NODE)
    scene.look(RECOVERY_SECONDS - LOOK_SECONDS)
    assert scene.kubernetes.asked("PATCH") == []


def test_a_workload_that_others_made_inactive_stays_inactive(scene: Scene) -> None:
    scene.job("held", AT_WORK)
    workload = scene.workload("held")
    scene.kubernetes.store.put("workloads", NAMESPACE, {**workload, "spec": {"active": False}, "status": {}})
    scene.look(RECOVERY_SECONDS)
    assert not scene.workload("held")["spec"]["active"]


def test_an_outage_is_not_counted(scene: Scene) -> None:
    scene.job("job", NO_NODE)
    scene.look(RECOVERY_SECONDS - LOOK_SECONDS)
    scene.kubernetes.fail(503, path="/pods")
    with pytest.raises(ClusterUnavailableError):
        scene.look()
    scene.requeuer.reset()
    scene.look(RECOVERY_SECONDS - LOOK_SECONDS)
    assert scene.kubernetes.asked("PATCH") == []


def test_a_refusal_is_reported_once(scene: Scene) -> None:
    scene.job("job", NO_NODE)
    scene.kubernetes.fail(403, path="/workloads", times=10, message="not yours")
    scene.look(5 * LOOK_SECONDS)
    (line,) = scene.logged
    assert line.startswith("jobs that have lost their nodes cannot be requeued: ")
    assert "not yours" in line


def test_without_jobs_in_queues_no_request_is_sent(scene: Scene) -> None:
    scene.job("job", NO_NODE, queue=None)
    scene.kubernetes.requests.clear()
    scene.look(RECOVERY_SECONDS)
    assert scene.kubernetes.requests == []
