"""Changes that the training operator, the kubelet and a queue make to objects. Tests trigger each of them."""

from collections.abc import Mapping
from typing import Any

from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import Object, now

NAMESPACE = "peerkd"


class Operator:
    """The controller of jobs of one kind, modelled on the training operator. Subclasses model other controllers."""

    succeeded, failed = "Succeeded", "Failed"
    """The types of the conditions with which a job ends."""

    def __init__(self, kubernetes: FakeKubernetes, kind: JobKind = PYTORCHJOB) -> None:
        self._kubernetes, self._store, self._kind = kubernetes, kubernetes.store, kind
        self._plural = kind.resource.plural

    def job(self) -> Object:
        (job,) = self._store.list(self._plural, NAMESPACE)
        return job

    def new_pod_name(self, worker: int) -> str:
        """Return the name of the next pod of a worker."""
        return self.pod_name(worker)

    def pod_name(self, worker: int = 0) -> str:
        """Return the name of the newest pod of a worker."""
        return self._kind.worker_host(self.job()["metadata"]["name"], worker)

    def more_labels(self) -> dict[str, str]:
        """Return labels of new pods beyond those that all kinds have."""
        return {}

    def acknowledge(self) -> None:
        """Notice a job."""
        self.set_condition("Created")

    def set_condition(self, kind: str, *, message: str = "", status: str = "True", **times: str) -> None:
        job = self.job()
        state = job.setdefault("status", {})
        others = [each for each in state.get("conditions", []) if each["type"] != kind]
        state["conditions"] = [
            *others,
            {"type": kind, "status": status, "message": message, "lastTransitionTime": now()},
        ]
        state |= {"startTime": state.get("startTime", now()), **times}
        self._store.put(self._plural, NAMESPACE, job)

    def change_job(self, change: Mapping[str, Any]) -> None:
        from tests.fake_kubernetes.store import merged

        self._store.put(self._plural, NAMESPACE, merged(self.job(), change))

    def make_pod(self, worker: int = 0, **status: Any) -> Object:
        name = self.new_pod_name(worker)
        self._kubernetes.logs.pop(name, None)
        labels = {
            self._kind.job_label: self.job()["metadata"]["name"],
            self._kind.index_label: str(worker),
            **self.more_labels(),
        }
        pod = {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Pending", **status}}
        return self._store.put("pods", NAMESPACE, pod)

    def set_pod(self, worker: int, status: Mapping[str, Any]) -> None:
        pod = self._store.get("pods", NAMESPACE, self.pod_name(worker))
        assert pod is not None
        self._store.put("pods", NAMESPACE, {**pod, "status": dict(status)})

    def wait_pod(self, worker: int, reason: str, message: str = "") -> None:
        self.set_pod(worker, waiting(reason, message, self._kind))

    def run_pod(self, worker: int = 0) -> None:
        self.set_pod(
            worker,
            {"phase": "Running", "containerStatuses": [container({"running": {"startedAt": now()}}, self._kind)]},
        )

    def start(self, num_workers: int = 1) -> None:
        """Let all workers run."""
        self.acknowledge()
        for worker in range(num_workers):
            self.make_pod(worker)
            self.run_pod(worker)
        self.report_running()

    def report_running(self) -> None:
        """Report that all workers run."""
        self.set_condition("Running")

    def end_pod(self, worker: int, exit_code: int, *, reason: str = "", message: str = "", at: str = "") -> None:
        phase = "Failed" if exit_code else "Succeeded"
        self.set_pod(
            worker, ended(exit_code, phase=phase, reason=reason, message=message, at=at or now(), kind=self._kind)
        )
        self._kubernetes.end_log(self.pod_name(worker))

    def evict_pod(self, worker: int) -> None:
        self.set_pod(worker, {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."})
        self._kubernetes.end_log(self.pod_name(worker))

    def disrupt_pod(self, worker: int, reason: str, *, exit_code: int = 143) -> None:
        """Stop a worker and delete its pod, as the Eviction API, a preemption or a taint does."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "The cluster says why."}
        self.set_pod(worker, ended(exit_code, at=now(), kind=self._kind) | {"conditions": [condition]})
        self._kubernetes.end_log(self.pod_name(worker))

    def announce_disruption(self, worker: int, reason: str, *, at: str) -> None:
        """Announce that a worker's pod is going to be removed. The worker still runs."""
        pod = self._store.get("pods", NAMESPACE, self.pod_name(worker))
        assert pod is not None
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": at}
        self._store.put("pods", NAMESPACE, {**pod, "status": {**pod["status"], "conditions": [condition]}})

    def remove_pod(self, worker: int) -> None:
        self._store.remove("pods", NAMESPACE, self.pod_name(worker))

    def remake_pod(self, worker: int) -> None:
        """Create a pod again, as restartPolicy ExitCode does after an exit code of 128 or above."""
        self.remove_pod(worker)
        self.make_pod(worker)
        self.run_pod(worker)

    def succeed(self, num_workers: int = 1) -> None:
        for worker in range(num_workers):
            self.end_pod(worker, 0)
        self.complete()

    def complete(self, *, at: str = "") -> None:
        """Report that a job has succeeded."""
        self.set_condition(self.succeeded, completionTime=at or now())

    def fail(self, message: str = "1 Worker replica(s) failed.") -> None:
        self.set_condition(self.failed, message=message)

    def started(self, at: str) -> None:
        """Report when the job started."""
        self.change_job({"status": {"startTime": at}})

    @property
    def is_suspended(self) -> bool:
        return bool(self.job()["spec"]["runPolicy"].get("suspend"))

    def suspend(self, suspend: bool) -> None:
        self.change_job({"spec": {"runPolicy": {"suspend": suspend}}})

    def refuse_pods(self, message: str) -> None:
        """Report that a pod of the job cannot be created."""
        self.warn(self.job(), "FailedCreatePod", message)

    def warn(self, about: Object, reason: str, message: str) -> None:
        uid = about["metadata"]["uid"]
        event = {
            "metadata": {"name": f"{about['metadata']['name']}.{reason}.{self._store.version}"},
            "involvedObject": {"uid": uid, "name": about["metadata"]["name"]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": now(),
        }
        self._store.put("events", NAMESPACE, event)


def container(state: Mapping[str, Any], kind: JobKind = PYTORCHJOB) -> dict[str, Any]:
    return {"name": kind.container, "state": dict(state)}


def waiting(reason: str, message: str = "", kind: JobKind = PYTORCHJOB) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [container(state, kind)]}


def ended(
    exit_code: int,
    *,
    phase: str = "Failed",
    reason: str = "",
    message: str = "",
    at: str = "",
    kind: JobKind = PYTORCHJOB,
) -> dict[str, Any]:
    state = {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "message": message,
            "finishedAt": at,
        }
    }
    return {"phase": phase, "containerStatuses": [container(state, kind)]}
