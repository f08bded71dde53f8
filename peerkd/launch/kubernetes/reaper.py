"""Deletion of jobs for which no launcher waits, and requeueing of jobs that have lost their nodes.

A launcher that is stopped has a second to delete its job, and a launcher that is killed has no time at all. A job may
therefore be left behind, and the reaper deletes it for one of two reasons:

- The Workflow that the job belongs to has ended or is being stopped. The reaper watches Workflows, so it deletes the
  job immediately.
- The lease of the job has not been renewed for ``lease_seconds``. This works for launchers outside of Kubeflow as well.

The reaper also deletes jobs that ended long ago, because the training operator leaves some failed jobs behind, and the
Trainer leaves all jobs. Some kinds of jobs would start again while they are deleted in the foreground, so the reaper
deletes such a job in the background. Finally, it deletes the prerequisites that killed launchers have created for jobs
that do not exist.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind
from peerkd.launch.kubernetes.orphans import OrphanRemover
from peerkd.launch.kubernetes.requeue import RECOVERY_SECONDS, Requeuer
from peerkd.launch.kubernetes.unchanged import UnchangedTimes
from peerkd.launch.kubernetes.workflows import Workflows, owner_of
from peerkd.metrics.progress import print_line
from peerkd.metrics.summary import delete_old_summaries

NAME: Final = "reaper"
INTERVAL_SECONDS: Final = 3.0
"""The time between two passes. The end of a Workflow starts a pass immediately."""

_MAX_STEP_SECONDS: Final = 3 * INTERVAL_SECONDS
_CONTROLLER_SECONDS: Final = 120.0
"""The time that the controller has to delete an ended job after the job's time to live
(``ttl_seconds_after_finished``).

If the job still exists when this time is over, the reaper deletes it.
"""

_REQUEUE_INTERVAL_SECONDS: Final = 15.0
"""The time between two searches for jobs without nodes.

It is longer than ``INTERVAL_SECONDS``, because these searches list pods."""

_ORPHANS_INTERVAL_SECONDS: Final = 60.0
"""The time between two searches for prerequisites whose job does not exist."""

_TIDY_SECONDS: Final = 60.0
"""The time between two searches for old summaries in a Pushgateway."""

_STATUS_NOT_FOUND: Final = 404


class Reaper:
    """Deletes the jobs of a namespace for which no launcher waits, and requeues jobs that have lost their nodes."""

    def __init__(
        self,
        cluster: Cluster,
        kinds: Sequence[JobKind],
        workflows: Workflows,
        *,
        clock: Callable[[], float] = time.monotonic,
        log: Callable[[str], None],
        recovery_seconds: float = RECOVERY_SECONDS,
    ) -> None:
        self._cluster, self._kinds, self._workflows = cluster, kinds, workflows
        self._clock, self._log = clock, log
        self._unchanged = UnchangedTimes(clock=clock, max_step_seconds=_MAX_STEP_SECONDS)
        self._requeuer = Requeuer(cluster, clock=clock, log=log, recovery_seconds=recovery_seconds)
        self._orphans = OrphanRemover(cluster, kinds, clock=clock, log=log)
        self._requeued_at = self._tidied_at = -math.inf
        self._is_api_away = False
        self._refused: frozenset[str] = frozenset()
        self._deleted: frozenset[str] = frozenset()
        self._unlisted: dict[str, str] = {}

    def run_once(self) -> None:
        """Make one pass: delete jobs for which no launcher waits.

        If it is time, also requeue jobs without nodes, and delete prerequisites whose job does not exist.
        """
        try:
            existing = list(self._list())
            if self._is_api_away:
                self._log("the cluster answers again; all leases are observed from now on.")
            self._is_api_away = False
            jobs = [job for job in existing if not job.is_being_deleted]
            self._unchanged.observe({job.uid: _sign_of_life(job) for job in jobs})
            unwanted = [(job, reason) for job in existing if (reason := self._reason_to_delete(job))]
            # A deletion that is refused or takes long is tried again in each pass, and logged once.
            deletions = {job.uid: self._delete(job, reason) for job, reason in unwanted}
            self._deleted = frozenset(uid for uid, is_deleted in deletions.items() if is_deleted)
            self._refused = frozenset(deletions) - self._deleted
            if self._clock() - self._tidied_at >= _ORPHANS_INTERVAL_SECONDS:
                self._tidied_at = self._clock()
                self._orphans.run_once(existing)
            if self._clock() - self._requeued_at >= _REQUEUE_INTERVAL_SECONDS:
                self._requeued_at = self._clock()
                self._requeuer.run_once(job for job in jobs if not job.has_ended)
        except ClusterUnavailableError as error:
            # The launchers cannot renew their leases either, so earlier observations do not count.
            self._unchanged.reset()
            self._requeuer.reset()
            self._orphans.reset()
            if not self._is_api_away:
                self._log(f"waiting: {error}")
            self._is_api_away = True
        except ClusterRefusedError as error:
            self._log(f"cannot read the Workflow of a job: {error}")

    def _list(self) -> Iterator[Job]:
        for kind in self._kinds:
            try:
                items = self._cluster.list(kind.resource, labels=names.OUR_LABELS)["items"]
            except ClusterRefusedError as error:
                # A cluster need not serve all kinds. An API server that has just started serves none for a moment,
                # which only delays deletions.
                refused = "" if error.status == _STATUS_NOT_FOUND else str(error)
                if refused and refused != self._unlisted.get(kind.name):
                    self._log(f"cannot list the {kind.name}s: {refused}")
                self._unlisted[kind.name] = refused
                continue
            self._unlisted[kind.name] = ""
            yield from map(kind.read, items)

    def _reason_to_delete(self, job: Job) -> str:
        if job.is_being_deleted:
            is_harmful = job.kind.propagation_policy == "Background"
            return "its deletion in the foreground would start it again" if is_harmful else ""
        seconds = self._unchanged.seconds(job.uid)
        if job.has_ended:
            ttl_seconds = job.status.ttl_seconds_after_finished
            is_over = ttl_seconds is not None and seconds > ttl_seconds + _CONTROLLER_SECONDS
            return f"it ended more than {ttl_seconds} s ago (ttl_seconds_after_finished)" if is_over else ""
        owner = owner_of(job, namespace=self._cluster.namespace)
        if owner and self._workflows.may_have_ended(owner):
            # The Workflow may also be newer than the last list of Workflows, so it is read.
            reason = self._workflows.reason_for_end(owner)
            if reason:
                return reason
        lease_seconds = _lease_seconds(job)
        if job.annotations.get(names.ANNOTATION_LEASE_RENEWED) and lease_seconds and seconds > lease_seconds:
            return f"its lease has not been renewed for {seconds:.0f} s"
        return ""

    def _delete(self, job: Job, reason: str) -> bool:
        """Delete a job, and return True. Return False if the cluster refuses."""
        try:
            if self._cluster.delete(job.kind.resource, job.name, uid=job.uid) and job.uid not in self._deleted:
                self._log(f"deleted {job.name}, because {reason}.")
        except ClusterRefusedError as error:
            if job.uid not in self._refused:
                self._log(f"cannot delete {job.name}, although {reason}: {error}")
            return False
        return True


def run_reaper(
    cluster: Cluster,
    kinds: Sequence[JobKind],
    *,
    stop: threading.Event,
    log: Callable[[str], None] = lambda text: print_line(NAME, text),
    recovery_seconds: float = RECOVERY_SECONDS,
) -> Callable[[], float]:
    """Run a reaper in threads that end when ``stop`` is set.

    Args:
        cluster: The cluster, with the namespace of the jobs.
        kinds: The kinds of jobs to list.
        stop: The event that ends the threads.
        log: A function that receives a sentence about each action.
        recovery_seconds: How long a job may be without the nodes that it has lost.

    Returns:
        A function that returns the seconds since the last pass, for a probe; infinity if a thread has died.
    """
    workflows = Workflows(cluster, log=log)
    reaper = Reaper(cluster, kinds, workflows, log=log, recovery_seconds=recovery_seconds)
    last_run = time.monotonic()

    def run_repeatedly() -> None:
        nonlocal last_run
        tidied_at = last_run
        while not stop.is_set():
            workflows.changed.clear()
            reaper.run_once()
            last_run = time.monotonic()
            if last_run - tidied_at > _TIDY_SECONDS:
                tidied_at = last_run
                delete_old_summaries()
            workflows.changed.wait(INTERVAL_SECONDS)

    log(f"watching the jobs of the namespace {cluster.namespace}.")
    watcher = threading.Thread(target=workflows.follow, args=(stop,), daemon=True)
    watcher.start()
    threading.Thread(target=run_repeatedly, daemon=True).start()
    return lambda: time.monotonic() - last_run if watcher.is_alive() else math.inf


def _sign_of_life(job: Job) -> tuple[bool, str]:
    return job.has_ended, "" if job.has_ended else job.annotations.get(names.ANNOTATION_LEASE_RENEWED, "")


def _lease_seconds(job: Job) -> float | None:
    try:
        return float(job.annotations.get(names.ANNOTATION_LEASE_SECONDS, ""))
    except ValueError:
        return None
