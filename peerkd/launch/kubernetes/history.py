"""The history of a job's pods, including pods that the controller has replaced and no longer knows."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peerkd.launch.kubernetes.causes import causes, first_failure
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind, read_time, uid_of
from peerkd.launch.kubernetes.pods import (
    Pod,
    PodFailure,
    failure_of,
    has_failed,
    is_disrupted,
    is_running,
    startup_problem_of,
)


class PodHistory:
    """The pods of a job, the failures of its earlier pods, and how long the job was running, silent or blocked.

    The durations are measured by the clock of this machine alone: each call of ``advance`` adds the time since the
    previous call.
    """

    def __init__(
        self,
        kind: JobKind,
        *,
        num_out_of_memory: Mapping[int, int] | None = None,
        num_disruptions: Mapping[int, int] | None = None,
        running_seconds: float = 0.0,
        are_restarted_together: bool = False,
    ) -> None:
        self._kind, self._are_restarted_together = kind, are_restarted_together
        self.running_seconds = running_seconds
        """The time in which at least one worker was running."""

        self.silent_seconds = 0.0
        """The time since the last sign of progress: a progress report of any worker, or a new pod.

        The time is counted only while a worker runs and the workers' logs are read.
        """

        self.blocked_seconds: dict[str, float] = {}
        """The time for which each present obstacle has blocked the job, by the name of the obstacle.

        The names are ``start UID`` (the pod with this UID cannot start), ``schedule UID`` (no node has room for it),
        ``create`` (pods cannot be created), ``controller`` (the controller has not acknowledged the job) and
        ``failure`` (the controller has not noticed that a pod failed)."""

        self.failures: list[PodFailure] = []
        """The failures of this job's pods, in the order in which they became known."""

        self.num_out_of_memory: Counter[int] = Counter(num_out_of_memory or {})
        """How often each worker ran out of memory, over all attempts at the order, by index of the worker."""

        self._num_earlier_disruptions: Counter[int] = Counter(num_disruptions or {})
        self._pods: dict[str, Pod] = {}
        self._num_suspensions_before: dict[str, int] = {}
        self._num_suspensions = 0
        self._was_suspended = False
        self._changed_at = ""
        self._num_restarts = 0
        self._unconfirmed: list[PodFailure] = []
        self._advanced_at: float | None = None

    @property
    def pods(self) -> dict[int, Pod]:
        """The newest pod of each worker among those that still exist."""
        return {self._kind.worker_index(pod): pod for pod in self._pods.values()}

    @property
    def present_pods(self) -> dict[int, Pod]:
        """The newest pod of each worker. If ``JobKind.keeps_failed_pods`` is set, pods that have failed are omitted."""
        return {
            worker: pod for worker, pod in self.pods.items() if not (self._kind.keeps_failed_pods and has_failed(pod))
        }

    @property
    def current_failures(self) -> list[PodFailure]:
        """The failures of pods that still exist and have not been replaced."""
        current = {uid_of(pod) for pod in self.pods.values()}
        return [failure for failure in self.failures if failure.uid in current]

    @property
    def causes(self) -> Sequence[PodFailure]:
        """The failures that are not consequences of other failures, in the order in which they became known."""
        return causes(self.failures, are_restarted_together=self._are_restarted_together)

    @property
    def cause_of_end(self) -> PodFailure | None:
        """The failure that ended the job; None if it is unknown.

        A failure whose pod was replaced did not end the job. If all workers are restarted together, the failed pod may
        no longer exist, or may be a pod that the cluster is removing and that has not ended yet.
        """
        if not self._are_restarted_together:
            return first_failure(self.current_failures) or first_failure(self.failures)
        ending = [
            failure
            for pod in self._pods.values()
            if is_disrupted(pod) and (failure := failure_of(pod, self._kind, is_gone=True))
        ]
        known = (*self.failures, *ending)
        return first_failure(failure for failure in known if failure.num_restarts_before == self._num_restarts)

    def num_failures(self, worker: int) -> int:
        """Return how often a worker of this job failed and could be restarted.

        Disruptions and consequences of other failures are not counted. Failures that are not retryable are not counted
        either: such a failure ends the job, or is a consequence of another failure.
        """
        return sum(
            failure.worker == worker and failure.is_retryable and not failure.is_disruption for failure in self.causes
        )

    @property
    def num_disruptions(self) -> Counter[int]:
        """How often the cluster removed the pod of each worker, over all attempts at the order, by index of the worker.

        Pods that were deleted because the job was suspended are not counted.
        """
        return self._num_earlier_disruptions + Counter(each.worker for each in self.causes if each.is_disruption)

    def replace_pods(self, pods: Iterable[Pod]) -> None:
        """Record a complete list of the existing pods. A known pod that is missing from the list counts as deleted."""
        # A worker may have several pods, if its controller keeps pods that have failed. The newest one must come last.
        listed = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
        existing = {uid_of(pod) for pod in listed}
        for uid in self._pods.keys() - existing:
            self.change_pod("DELETED", self._pods[uid])
        for pod in listed:
            self.change_pod("MODIFIED", pod)

    def change_pod(self, change: str, pod: Pod) -> None:
        """Record a change of a pod.

        Args:
            change: The type of the change: ADDED, MODIFIED or DELETED.
            pod: The pod after the change, or its last state if it was deleted.
        """
        uid, is_gone = uid_of(pod), change == "DELETED"
        if uid not in self._num_suspensions_before:
            self._num_suspensions_before[uid] = self._num_suspensions
            self._num_restarts = max(self._num_restarts, self._kind.num_restarts_before(pod))
            self._confirm(self._kind.worker_index(pod))
            self.silent_seconds = 0.0
        known = {failure.uid for failure in (*self.failures, *self._unconfirmed)}
        failure = failure_of(pod, self._kind, is_gone=is_gone)
        created_at = pod["metadata"].get("creationTimestamp") or ""
        # These texts have the same format, in whole seconds.
        self._changed_at = max(self._changed_at, created_at, failure.finished_at if failure else "")
        if failure is not None and uid not in known:
            # A pod may have been deleted because the job was suspended, which may become known later. Only a new pod of
            # the same worker decides it. Such a deletion is not announced as a disruption.
            is_unconfirmed = failure.was_deleted and not (failure.was_announced and self._are_restarted_together)
            (self._unconfirmed if is_unconfirmed else self.failures).append(failure)
            self.num_out_of_memory[failure.worker] += failure.is_out_of_memory
        if is_gone:
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod

    def advance(
        self,
        job: Job,
        *,
        now_seconds: float,
        events: Iterable[Mapping[str, Any]] = (),
        is_following_logs: bool = True,
        is_connected: bool = True,
    ) -> None:
        """Add the time since the last call to ``running_seconds``, ``silent_seconds`` and ``blocked_seconds``.

        ``running_seconds`` and ``silent_seconds`` grow only while a worker runs. ``blocked_seconds`` grows for each
        obstacle that blocked the job at the last call and still blocks the job.

        Args:
            job: The job as it was last observed.
            now_seconds: The time of a monotonic clock.
            events: Warnings about the job and its pods.
            is_following_logs: Whether the workers' logs are being read. If not, the job does not count as silent.
            is_connected: Whether the API answers. If not, obstacles may have been removed unnoticed, and their
                durations do not grow.
        """
        events = list(events)
        elapsed = 0.0 if self._advanced_at is None else now_seconds - self._advanced_at
        self._advanced_at = now_seconds
        is_suspended = job.status.is_suspended
        if is_suspended and not self._was_suspended:
            self._num_suspensions += 1
        self._was_suspended = is_suspended
        is_at_work = not is_suspended and any(is_running(pod) for pod in self._pods.values())
        self.running_seconds += elapsed * is_at_work
        self.silent_seconds += elapsed * (is_at_work and is_following_logs)
        self.blocked_seconds = {
            each: self.blocked_seconds[each] + elapsed * is_connected if each in self.blocked_seconds else 0.0
            for each in list(self._blockers(job, events))
        }

    def record_progress(self) -> None:
        """Record that a worker reported progress."""
        self.silent_seconds = 0.0

    def creation_failure(self, job: Job, events: Iterable[Mapping[str, Any]]) -> str | None:
        """Return why pods of a job cannot be created.

        Return None if all pods exist, or if no event gives a reason. An event does not count if a pod has been created
        or has ended since then, because the API keeps events long after their cause has gone.
        """
        if len(self.present_pods) >= job.status.num_workers:
            return None
        failures = [
            event
            for event in events
            if event.get("reason") in job.kind.pod_creation_failures
            and not _is_about_earlier_job(event, job)
            and not self._is_outdated(event)
        ]
        if not failures:
            return None
        latest = max(failures, key=_time_text)
        return str(latest.get("message") or "no reason given").strip().rstrip(".")

    def _blockers(self, job: Job, events: list[Mapping[str, Any]]) -> Iterable[str]:
        if job.status.is_suspended:
            return
        if not self._pods and not job.status.is_acknowledged:
            yield "controller"
        # If all workers were restarted, a failure of an earlier pod was only a consequence of another one.
        if any(not failure.is_retryable for failure in self.current_failures) and not job.status.has_failed:
            yield "failure"
        if self.creation_failure(job, events):
            yield "create"
        for uid, pod in self._pods.items():
            problem = startup_problem_of(pod, self._kind, events)
            if problem:
                yield f"{problem.kind} {uid}"

    def _is_outdated(self, event: Mapping[str, Any]) -> bool:
        """Return whether a pod has been created or has ended since an event, in a later second."""
        happened_at, changed_at = read_time(_time_text(event)), read_time(self._changed_at)
        return happened_at is not None and changed_at is not None and happened_at < changed_at

    def _confirm(self, worker: int) -> None:
        """Count the deletions of a worker's earlier pods as failures.

        A deletion is not counted if the job has been suspended since the pod was first seen. This method is called when
        the worker has a new pod.
        """
        for failure in [each for each in self._unconfirmed if each.worker == worker]:
            self._unconfirmed.remove(failure)
            if self._num_suspensions_before[failure.uid] == self._num_suspensions:
                self.failures.append(failure)


def _is_about_earlier_job(event: Mapping[str, Any], job: Job) -> bool:
    """Return whether an event is about an earlier job of the same name, or about an object of that job."""
    if (event.get("involvedObject") or {}).get("uid") == job.uid:
        return False
    happened_at = read_time(_time_text(event))
    return happened_at is not None and job.created_at is not None and happened_at < job.created_at


def _time_text(event: Mapping[str, Any]) -> str:
    """Return the time at which an event happened last; empty if it is unknown."""
    series: Mapping[str, Any] = event.get("series") or {}
    return str(event.get("lastTimestamp") or series.get("lastObservedTime") or event.get("eventTime") or "")
