"""Requeueing of jobs that hold quota in Kueue and have lost their nodes.

When the nodes of a pool disappear, the controller replaces the pods that ran there. If the controller saw the old pods
fail, it sets the job's condition Restarting, and Kueue can requeue the job. If the controller did not see the pods
fail, the job stays Running. Kueue then never requeues the job, which would hold its quota and wait for nodes
indefinitely.

The reaper therefore deactivates the Workload of such a job, which releases the quota, and activates it again. Kueue
then queues the Workload, and may admit it to another pool.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PODS, WORKLOADS, Cluster
from peerkd.launch.kubernetes.kinds.kind import Job, name_of
from peerkd.launch.kubernetes.pods import is_running, is_unschedulable
from peerkd.launch.kubernetes.unchanged import UnchangedTimes

RECOVERY_SECONDS: Final = 180.0
"""The time that Kueue itself waits for a pod to recover (``recoveryTimeout`` in manifests/third-party)."""

_MAX_STEP_SECONDS: Final = 60.0
_REQUEUED: Final = {names.LABEL_REQUEUED: "true"}


class Requeuer:
    """Requeues jobs that have lost their nodes.

    A Workload that has been deactivated has a label until it is activated again. A reaper that is restarted in between
    finds the label and activates the Workload.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        recovery_seconds: float = RECOVERY_SECONDS,
    ) -> None:
        self._cluster, self._log, self._recovery_seconds = cluster, log, recovery_seconds
        self._without_node = UnchangedTimes(clock=clock, max_step_seconds=_MAX_STEP_SECONDS)
        self._last_logged = ""

    def run_once(self, jobs: Iterable[Job]) -> None:
        """Requeue the jobs that have been without a node for ``recovery_seconds``.

        A job that has not run since its admission is not requeued, because its nodes may still be starting. A job is
        not requeued while any of its pods is running.

        Args:
            jobs: The unfinished jobs of the namespace.

        Raises:
            ClusterUnavailableError: If the API cannot be reached.
        """
        queued = [job for job in jobs if names.LABEL_QUEUE in job.labels]
        if not queued:
            self.reset()
            return
        try:
            self._reactivate()
            pending = self._cluster.list(PODS, labels=names.OUR_LABELS, fields={"status.phase": "Pending"})["items"]
            unschedulable = [pod["metadata"].get("labels") or {} for pod in pending if is_unschedulable(pod)]
            lost = [
                job
                for job in queued
                if (job.status.is_running or job.status.restarting_since)
                and not job.status.is_suspended
                and any(labels.items() >= job.kind.pod_labels(job.name).items() for labels in unschedulable)
                and not self._is_running(job)
            ]
            self._without_node.observe({job.uid: True for job in lost})
            for job in lost:
                if self._without_node.seconds(job.uid) >= self._recovery_seconds:
                    self._deactivate(job)
            self._last_logged = ""
        except ClusterRefusedError as error:
            if str(error) != self._last_logged:
                self._log(f"jobs that have lost their nodes cannot be requeued: {error}")
            self._last_logged = str(error)

    def reset(self) -> None:
        """Forget for how long each job has been without a node."""
        self._without_node.reset()

    def _is_running(self, job: Job) -> bool:
        pods = self._cluster.list(PODS, labels=job.kind.pod_labels(job.name))["items"]
        return any(is_running(pod) for pod in pods)

    def _deactivate(self, job: Job) -> None:
        for workload in self._cluster.list(WORKLOADS, labels={names.LABEL_JOB_OF_WORKLOAD: job.uid})["items"]:
            is_active = workload["spec"].get("active", True)
            change = {"metadata": {"labels": _REQUEUED}, "spec": {"active": False}}
            if is_active and self._cluster.patch(WORKLOADS, name_of(workload), change):
                seconds = self._without_node.seconds(job.uid)
                self._log(f"requeued {job.name}, because its pods have had no node for {seconds:.0f} s.")

    def _reactivate(self) -> None:
        """Activate the Workloads that have released their quota."""
        for workload in self._cluster.list(WORKLOADS, labels=_REQUEUED)["items"]:
            if "admission" not in (workload.get("status") or {}):
                change = {"metadata": {"labels": dict.fromkeys(_REQUEUED)}, "spec": {"active": True}}
                self._cluster.patch(WORKLOADS, name_of(workload), change)
