"""Sends jobs back to their queue that hold a share of a pool and no longer have a node in it.

When a pool's nodes vanish, the operator makes their pods anew, and calls the jobs Restarting if it has seen the old
ones fail; else it goes on to call them Running. Kueue sends the former back if it is set up to, and the latter never:
they would hold their share and wait for nodes until there are some again. Made inactive, a Workload gives its share up;
active again, it stands in the queue, where another pool may take it.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PODS, WORKLOADS, Cluster
from peerkd.launch.kubernetes.jobs import Job, is_suspended, name_of, restarting_since, running_since, uid_of
from peerkd.launch.kubernetes.pods import hindrance_of, is_running
from peerkd.launch.kubernetes.unchanged import Unchanged

PATIENCE_SECONDS: Final = 180.0
"""The time that Kueue itself waits for a worker to come back (``recoveryTimeout`` in manifests/third-party)."""

_MAX_STEP_SECONDS: Final = 60.0
_SENT_BACK: Final = {names.LABEL_SENT_BACK: "true"}


class Stranded:
    """Looks for such jobs time and again. What is half done is written on the Workload, not kept here."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._cluster, self._tell, self._patience_seconds = cluster, tell, patience_seconds
        self._unchanged = Unchanged(clock=clock, max_step_seconds=_MAX_STEP_SECONDS)
        self._last_told = ""

    def look(self, jobs: Iterable[Job]) -> None:
        """Look once, and send back what has been stranded for ``patience_seconds``.

        A job that is new to its pool is not: its nodes may be on their way. Nor is one of which a worker is at work.

        Args:
            jobs: Of the namespace, at work or in a queue.

        Raises:
            ClusterUnavailableError: If the API cannot be reached.
        """
        queued = [job for job in jobs if names.LABEL_QUEUE in (job["metadata"].get("labels") or {})]
        if not queued:
            self.forget()
            return
        try:
            self._open_again()
            without_node = self._without_node()
            begun = [job for job in queued if running_since(job) or restarting_since(job)]
            let_in = [job for job in begun if not is_suspended(job)]
            lost = [job for job in let_in if name_of(job) in without_node and not self._is_at_work(job)]
            self._unchanged.see({uid_of(job): "without a node" for job in lost})
            for job in lost:
                if self._unchanged.seconds(uid_of(job)) >= self._patience_seconds:
                    self._send_back(job)
            self._last_told = ""
        except ClusterRefusedError as error:
            if str(error) != self._last_told:
                self._tell(f"jobs that have lost their nodes cannot be sent back to their queue: {error}")
            self._last_told = str(error)

    def forget(self) -> None:
        """Begin anew: what was seen so far says nothing about now."""
        self._unchanged.forget()

    def _without_node(self) -> frozenset[str]:
        """Return the names of the jobs of which a worker finds no node."""
        pending = self._cluster.list(PODS, labels=names.OUR_LABELS, fields={"status.phase": "Pending"})["items"]
        unscheduled = [pod for pod in pending if (hindrance := hindrance_of(pod)) and hindrance.kind == "schedule"]
        return frozenset(pod["metadata"]["labels"].get(names.LABEL_JOB_OF_POD, "") for pod in unscheduled)

    def _is_at_work(self, job: Job) -> bool:
        pods = self._cluster.list(PODS, labels={names.LABEL_JOB_OF_POD: name_of(job)})["items"]
        return any(is_running(pod) for pod in pods)

    def _send_back(self, job: Job) -> None:
        for workload in self._cluster.list(WORKLOADS, labels={names.LABEL_JOB_OF_WORKLOAD: uid_of(job)})["items"]:
            is_active = workload["spec"].get("active", True)
            change = {"metadata": {"labels": _SENT_BACK}, "spec": {"active": False}}
            if is_active and self._cluster.patch(WORKLOADS, name_of(workload), change):
                seconds = self._unchanged.seconds(uid_of(job))
                self._tell(f"sent {name_of(job)} back to its queue: for {seconds:.0f} s its workers have had no node.")

    def _open_again(self) -> None:
        """Let those into the queue again that hold nothing any more."""
        for workload in self._cluster.list(WORKLOADS, labels=_SENT_BACK)["items"]:
            if "admission" not in (workload.get("status") or {}):
                change = {"metadata": {"labels": dict.fromkeys(_SENT_BACK)}, "spec": {"active": True}}
                self._cluster.patch(WORKLOADS, name_of(workload), change)
