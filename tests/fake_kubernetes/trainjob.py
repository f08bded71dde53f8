"""Changes that Kubeflow Trainer, JobSet, the Job controller and a queue make to objects of TrainJobs."""

from collections import Counter

from peerkd.launch.kubernetes.kinds import TRAINJOB
from tests.fake_kubernetes.operator import NAMESPACE, Operator, ended
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import now


class Trainer(Operator):
    """The controllers of TrainJobs. Each new pod of a worker has another name, and a pod that has failed remains."""

    succeeded = "Complete"

    def __init__(self, kubernetes: FakeKubernetes) -> None:
        super().__init__(kubernetes, TRAINJOB)
        self._num_pods: Counter[tuple[str, int]] = Counter()
        self._num_restarts: Counter[str] = Counter()

    def more_labels(self) -> dict[str, str]:
        return {"jobset.sigs.k8s.io/restart-attempt": str(self._num_restarts[self.job()["metadata"]["uid"]])}

    def acknowledge(self) -> None:
        job = self.job()
        owner = {"kind": "TrainJob", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
        job_set = {"metadata": {"name": job["metadata"]["name"], "ownerReferences": [owner]}}
        self._store.put("jobsets", NAMESPACE, job_set)
        self._count(ready=0)

    def report_running(self) -> None:
        self._count(ready=1)

    def new_pod_name(self, worker: int) -> str:
        self._num_pods[self.job()["metadata"]["uid"], worker] += 1
        return self.pod_name(worker)

    def pod_name(self, worker: int = 0) -> str:
        metadata = self.job()["metadata"]
        return f"{metadata['name']}-node-0-{worker}-{metadata['uid']}-{self._num_pods[metadata['uid'], worker]}"

    def remake_pod(self, worker: int) -> None:
        """Create another pod, as the Job does if its podFailurePolicy ignores a failure."""
        before = self._store.get("pods", NAMESPACE, self.pod_name(worker))
        if before is not None and before["status"]["phase"] != "Failed":
            self.remove_pod(worker)
        self.make_pod(worker)
        self.run_pod(worker)

    def restart_set(self, num_workers: int) -> None:
        """Create the pods of all workers again, as the JobSet does after a failure that its failurePolicy restarts."""
        for pod in self._store.list("pods", NAMESPACE):
            self._store.remove("pods", NAMESPACE, pod["metadata"]["name"])
        self._num_restarts[self.job()["metadata"]["uid"]] += 1
        for worker in range(num_workers):
            self.make_pod(worker)
            self.run_pod(worker)

    def end_other(self, worker: int, exit_code: int = 143) -> None:
        """End a worker because another one has failed, as the Job does. Its pod is deleted without an announcement."""
        pod = self._store.get("pods", NAMESPACE, self.pod_name(worker))
        assert pod is not None
        pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
        pod["status"] |= ended(exit_code, at=now(), kind=TRAINJOB)
        self._store.put("pods", NAMESPACE, pod)
        self._kubernetes.end_log(self.pod_name(worker))

    def set_condition(self, kind: str, *, message: str = "", status: str = "True", at: str = "", **_: str) -> None:
        """Set a condition. A TrainJob reports no times but those of its conditions."""
        others = [each for each in self.job().get("status", {}).get("conditions", []) if each["type"] != kind]
        new = {"type": kind, "status": status, "message": message, "lastTransitionTime": at or now()}
        self.change_job({"status": {"conditions": [*others, new]}})

    def complete(self, *, at: str = "") -> None:
        self.set_condition(self.succeeded, at=at)

    def started(self, at: str) -> None:
        self.change_job({"metadata": {"creationTimestamp": at}})

    def refuse_pods(self, message: str) -> None:
        job = self.job()["metadata"]
        self.warn({"metadata": {"name": f"{job['name']}-node-0", "uid": f"{job['uid']}-job"}}, "FailedCreate", message)

    @property
    def is_suspended(self) -> bool:
        return bool(self.job()["spec"].get("suspend"))

    def suspend(self, suspend: bool) -> None:
        self.change_job({"spec": {"suspend": suspend}})
        self.set_condition("Suspended", status=str(suspend))

    def _count(self, *, ready: int) -> None:
        counted = {"name": "node", "active": 1, "ready": ready, "succeeded": 0, "failed": 0, "suspended": 0}
        self.change_job({"status": {"jobsStatus": [counted]}})


def controller_of(kubernetes: FakeKubernetes, name: str) -> Operator:
    """Return the controller of the kind of job that has a name."""
    return Trainer(kubernetes) if name == TRAINJOB.name else Operator(kubernetes)
