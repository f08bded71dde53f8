"""The assessment of a job: a pure function of everything that was observed of the job and its pods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.history import PodHistory
from peerkd.launch.kubernetes.kinds.kind import Job, uid_of
from peerkd.launch.kubernetes.pods import PodFailure, has_finished, is_running, startup_problem_of

_MAX_OUT_OF_MEMORY: Final = 2
"""The number of times that one worker runs out of memory before the job counts as failed.

The first time may be due to the node. After the second time, the memory limit is taken to be too low."""

_EXIT_USER_ERROR: Final = 2


class JobPhase(Enum):
    """The phase of a job."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The job has failed, and no further attempt can succeed."""

    FAILED_ONCE = "failed once"
    """The job has failed, but another attempt may succeed."""

    DELETED = "deleted"
    """The job was deleted. It is not created again, because people delete jobs to stop a run."""

    @property
    def is_final(self) -> bool:
        """Whether the launcher can stop waiting for the job."""
        return self not in (JobPhase.QUEUED, JobPhase.STARTING, JobPhase.RUNNING)


@dataclass(frozen=True, slots=True)
class Assessment:
    """The phase of a job, and the reason in words."""

    phase: JobPhase
    text: str
    failure: PodFailure | None = None
    """The pod failure that made the job fail; None if the job has not failed, or failed for another reason."""

    is_user_error: bool = False
    """Whether the job failed because of an error that the user can fix."""

    topic: str = ""
    """The topic of ``text``. Of several assessments in a row with the same topic, only the first is printed."""


def assess(
    job: Job | None,
    *,
    history: PodHistory,
    cluster: ClusterConfig,
    events: Sequence[Mapping[str, Any]] = (),
) -> Assessment:
    """Return the phase of a job and its reason.

    Args:
        job: The job as it was last observed; None if it no longer exists.
        history: The history of its pods, up to now.
        cluster: The resources of the job, and how long to wait for it.
        events: Warnings about the job and its pods.
    """
    if job is None:
        return Assessment(JobPhase.DELETED, "its job was deleted before it had ended")
    if job.status.has_succeeded:
        return Assessment(JobPhase.SUCCEEDED, "done")
    if job.is_being_deleted:
        return Assessment(JobPhase.DELETED, f"its job {job.name} was deleted before it had ended")
    return (
        _assess_failures(job, history, cluster)
        or _assess_queue(job, cluster)
        or _assess_time_limits(history, cluster)
        or _assess_blockers(job, history, cluster, events)
        or _assess_progress(history, cluster)
    )


def _assess_failures(job: Job, history: PodHistory, cluster: ClusterConfig) -> Assessment | None:
    for worker, number in sorted(history.num_out_of_memory.items()):
        if number >= _MAX_OUT_OF_MEMORY:
            text = (
                f"worker {worker} ran out of memory {number} times (limit {cluster.memory_per_worker}, /dev/shm "
                "included); raise memory_per_worker"
            )
            return Assessment(JobPhase.FAILED, text, _last_failure(history.failures, worker))
    for worker, number in sorted(history.num_disruptions.items()):
        last = _last_failure(history.causes, worker)
        if number > cluster.max_disruptions and last is not None:
            text = (
                f"the cluster removed the pod of worker {worker} {number} times (max_disruptions is "
                f"{cluster.max_disruptions}), the last time with {last.describe()}"
            )
            return Assessment(JobPhase.FAILED, text, last)
    # A failure that is not retryable fails the job as soon as the controller notices. Until then, a deletion of the job
    # would delete its pods and their logs.
    if job.status.has_failed or history.blocked_seconds.get("failure", 0.0) >= cluster.start_seconds:
        return _assess_end(job, history, cluster)
    for worker in sorted({failure.worker for failure in history.causes}):
        if history.num_failures(worker) > cluster.max_restarts:
            last = _last_failure(history.causes, worker, is_disruption=False)
            assert last is not None
            text = (
                f"worker {worker} failed {history.num_failures(worker)} times (max_restarts is "
                f"{cluster.max_restarts}), the last time with {last.describe()}"
            )
            return Assessment(JobPhase.FAILED, text, last)
    return None


def _assess_end(job: Job, history: PodHistory, cluster: ClusterConfig) -> Assessment:
    first = history.cause_of_end
    if first is None:
        message = job.status.failure_message or f"the {job.kind.controller.title} gives no reason"
        return Assessment(JobPhase.FAILED_ONCE, f"its job failed: {message.strip().rstrip('.')}")
    subject = f"worker {first.worker}" if cluster.num_workers > 1 else "its worker"
    text = f"{subject} ended with {first.describe()}"
    if first.is_retryable:
        return Assessment(JobPhase.FAILED_ONCE, text, first)
    return Assessment(JobPhase.FAILED, text, first, is_user_error=first.exit_code == _EXIT_USER_ERROR)


def _assess_queue(job: Job, cluster: ClusterConfig) -> Assessment | None:
    if not job.status.is_suspended:
        return None
    text = f"queued in {cluster.queue}" if cluster.queue else "suspended"
    return Assessment(JobPhase.QUEUED, text, topic="queued")


def _assess_time_limits(history: PodHistory, cluster: ClusterConfig) -> Assessment | None:
    if cluster.deadline_seconds is not None and history.running_seconds > cluster.deadline_seconds:
        return Assessment(JobPhase.FAILED, f"it ran for longer than deadline_seconds ({cluster.deadline_seconds:g} s)")
    if cluster.stall_seconds is not None and history.silent_seconds > cluster.stall_seconds:
        text = f"its workers are running and have reported no progress for {cluster.stall_seconds:g} s (stall_seconds)"
        return Assessment(JobPhase.FAILED, text)
    return None


def _assess_blockers(
    job: Job, history: PodHistory, cluster: ClusterConfig, events: Sequence[Mapping[str, Any]]
) -> Assessment | None:
    seconds = history.blocked_seconds
    creation_failure = history.creation_failure(job, events)
    if creation_failure and "create" in seconds:
        text = f"the cluster refuses to create its pods: {creation_failure}"
        if seconds["create"] >= cluster.start_seconds:
            return Assessment(JobPhase.FAILED, text)
        return Assessment(JobPhase.STARTING, text, topic="create")
    # This check comes second, because a job whose pods are all refused has no conditions either.
    if "controller" in seconds:
        return _assess_controller(job, seconds["controller"], cluster)
    for worker, pod in sorted(history.pods.items()):
        problem = startup_problem_of(pod, job.kind, events)
        if problem is None:
            continue
        blocked_seconds = seconds.get(f"{problem.kind} {uid_of(pod)}", 0.0)
        topic = f"{problem.kind} {worker}"
        if problem.kind == "start":
            if problem.is_permanent or blocked_seconds >= cluster.start_seconds:
                return Assessment(JobPhase.FAILED, f"worker {worker} cannot start: {problem.text}")
            return Assessment(JobPhase.STARTING, f"worker {worker} cannot start yet: {problem.text}", topic=topic)
        if cluster.schedule_seconds is not None and blocked_seconds >= cluster.schedule_seconds:
            text = f"worker {worker} found no node for {cluster.schedule_seconds:g} s (schedule_seconds)"
            return Assessment(JobPhase.FAILED, f"{text}: {problem.text}")
        return Assessment(JobPhase.STARTING, f"waiting for nodes: {problem.text}", topic=topic)
    return None


def _assess_controller(job: Job, blocked_seconds: float, cluster: ClusterConfig) -> Assessment | None:
    controller = f"the {job.kind.controller.title}"
    if blocked_seconds >= cluster.patience_seconds:
        text = f"{controller} has not acknowledged the job for {cluster.patience_seconds:g} s; is it running?"
        return Assessment(JobPhase.FAILED, text)
    if blocked_seconds >= cluster.start_seconds / 4:
        text = f"waiting for {controller}, which has not acknowledged the job yet"
        return Assessment(JobPhase.STARTING, text, topic="controller")
    return None


def _assess_progress(history: PodHistory, cluster: ClusterConfig) -> Assessment:
    num_started = sum(is_running(pod) or has_finished(pod) for pod in history.present_pods.values())
    if num_started >= cluster.num_workers:
        return Assessment(JobPhase.RUNNING, "running", topic="running")
    return Assessment(
        JobPhase.STARTING, f"{num_started} of {cluster.num_workers} workers are running", topic="starting"
    )


def _last_failure(
    failures: Sequence[PodFailure], worker: int, *, is_disruption: bool | None = None
) -> PodFailure | None:
    of_worker = (failure for failure in reversed(failures) if failure.worker == worker)
    return next((each for each in of_worker if is_disruption in (None, each.is_disruption)), None)
