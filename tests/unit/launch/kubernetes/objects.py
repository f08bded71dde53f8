"""Objects as the API returns them, reduced to the fields that the rules of the launcher read."""

from typing import Any

from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import Job
from tests.fake_kubernetes.operator import container, ended, waiting

__all__ = ["condition", "ended", "event", "job", "pod", "running", "unschedulable", "waiting"]


def condition(
    kind: str, *, status: str = "True", message: str = "", at: str = "2026-01-01T00:00:00Z"
) -> dict[str, Any]:
    return {"type": kind, "status": status, "message": message, "lastTransitionTime": at}


def job(*conditions: dict[str, Any], num_workers: int = 2, suspend: bool = False, **metadata: Any) -> Job:
    return PYTORCHJOB.read(
        {
            "metadata": {"name": "job", "uid": "job-uid", **metadata},
            "spec": {"runPolicy": {"suspend": suspend}, "pytorchReplicaSpecs": {"Worker": {"replicas": num_workers}}},
            "status": {"conditions": list(conditions)},
        }
    )


def pod(worker: int, status: dict[str, Any], *, uid: str = "", **metadata: Any) -> dict[str, Any]:
    labels = {PYTORCHJOB.index_label: str(worker)}
    return {
        "metadata": {"name": f"job-worker-{worker}", "uid": uid or f"pod-{worker}", "labels": labels, **metadata},
        "status": status,
    }


def running() -> dict[str, Any]:
    return {"phase": "Running", "containerStatuses": [container({"running": {}})]}


def unschedulable(message: str = "0/1 nodes are available", reason: str = "Unschedulable") -> dict[str, Any]:
    state = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"phase": "Pending", "conditions": [state]}


def event(reason: str, message: str, *, uid: str = "job-uid", at: str = "") -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}, "lastTimestamp": at}
