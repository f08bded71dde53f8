"""How a job stands, from all that is known of it: a pure function, so that every rule can be tested as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.history import History, refusal_to_create
from peerkd.launch.kubernetes.jobs import (
    Job,
    condition,
    has_failed,
    has_succeeded,
    is_being_deleted,
    is_suspended,
    name_of,
    uid_of,
)
from peerkd.launch.kubernetes.pods import Ending, hindrance_of, is_over, is_running

_NUM_OUT_OF_MEMORY: Final = 2
"""Once may have been the node's fault; the same worker twice is the limit's."""

_EXIT_USER_ERROR: Final = 2


class State(Enum):
    """How a job stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """No further attempt can succeed."""

    FAILED_ONCE = "failed once"
    """Another attempt may succeed."""

    GONE = "gone"
    """Somebody deleted it. It is not made again: whoever stops a run would find it running."""

    @property
    def is_end(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self not in (State.QUEUED, State.STARTING, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a job stands, in a word and in words."""

    state: State
    text: str
    ending: Ending | None = None
    """The ending of the first worker that failed, if that is the cause."""

    user_can_mend: bool = False
    topic: str = ""
    """Verdicts of one topic are told once, though their words may change."""


def judge(
    job: Job | None,
    *,
    history: History,
    cluster: ClusterConfig,
    events: Sequence[Mapping[str, Any]] = (),
) -> Verdict:
    """Return how a job stands.

    Args:
        job: As it was seen last; None if it is not there any more.
        history: Of its workers, up to now.
        cluster: What it was given, and how long it is waited for.
        events: Warnings about the job and its pods.
    """
    if job is None:
        return Verdict(State.GONE, "its job was deleted while it was at work")
    if has_succeeded(job):
        return Verdict(State.SUCCEEDED, "done")
    if is_being_deleted(job):
        return Verdict(State.GONE, f"its job {name_of(job)} was deleted while it was at work")
    return (
        _failure(job, history, cluster)
        or _queued(job, cluster)
        or _lateness(history, cluster)
        or _hindrance(job, history, cluster, events)
        or _progress(history, cluster)
    )


def first_of(endings: Iterable[Ending]) -> Ending | None:
    """Return the ending that came first: what follows within seconds is mostly its consequence."""
    # A pod that was deleted has no time of its own; it ended when it became known, after those that have.
    return min(endings, key=lambda ending: (not ending.at, ending.at), default=None)


def _failure(job: Job, history: History, cluster: ClusterConfig) -> Verdict | None:
    for worker, number in sorted(history.num_out_of_memory.items()):
        if number >= _NUM_OUT_OF_MEMORY:
            text = (
                f"worker {worker} ran out of memory {number} times (limit {cluster.memory_per_worker}, /dev/shm "
                "included); raise memory_per_worker"
            )
            return Verdict(State.FAILED, text, _last_of(history, worker))
    for worker, number in sorted(history.num_disruptions.items()):
        last = _last_of(history, worker)
        if number > cluster.max_disruptions and last is not None:
            text = f"the cluster took worker {worker} away {number} times (max_disruptions is "
            return Verdict(State.FAILED, f"{text}{cluster.max_disruptions}), the last time with {last.told()}", last)
    # A worker that failed for good fails the job, as soon as the operator looks; until then its pods would be deleted
    # together with what they could tell.
    if has_failed(job) or history.hindered_seconds.get("end", 0.0) >= cluster.start_seconds:
        return _ended(job, history, cluster)
    for worker in sorted({ending.worker for ending in history.endings}):
        if history.num_failures(worker) > cluster.max_restarts:
            last = _last_of(history, worker, is_disruption=False)
            assert last is not None
            text = f"worker {worker} ended {history.num_failures(worker)} times without success (max_restarts is "
            return Verdict(State.FAILED, f"{text}{cluster.max_restarts}), the last time with {last.told()}", last)
    return None


def _ended(job: Job, history: History, cluster: ClusterConfig) -> Verdict:
    # Workers made anew long ago are not why it ended now.
    current = {uid_of(pod) for pod in history.pods.values()}
    first = first_of(ending for ending in history.endings if ending.uid in current) or first_of(history.endings)
    if first is None:
        message = (condition(job, "Failed") or {}).get("message") or "the operator gives no reason"
        return Verdict(State.FAILED_ONCE, f"its job failed: {message.strip().rstrip('.')}")
    of_which = f"worker {first.worker}" if cluster.num_workers > 1 else "its worker"
    text = f"{of_which} ended with {first.told()}"
    if first.may_pass:
        return Verdict(State.FAILED_ONCE, text, first)
    return Verdict(State.FAILED, text, first, user_can_mend=first.exit_code == _EXIT_USER_ERROR)


def _queued(job: Job, cluster: ClusterConfig) -> Verdict | None:
    if not is_suspended(job):
        return None
    return Verdict(State.QUEUED, f"queued in {cluster.queue}" if cluster.queue else "suspended", topic="queued")


def _lateness(history: History, cluster: ClusterConfig) -> Verdict | None:
    if cluster.deadline_seconds is not None and history.running_seconds > cluster.deadline_seconds:
        text = f"it ran for longer than deadline_seconds allows ({cluster.deadline_seconds:g} s)"
        return Verdict(State.FAILED, text)
    if cluster.stall_seconds is not None and history.silent_seconds > cluster.stall_seconds:
        text = f"its workers run and have said nothing of progress for {cluster.stall_seconds:g} s (stall_seconds)"
        return Verdict(State.FAILED, text)
    return None


def _hindrance(
    job: Job, history: History, cluster: ClusterConfig, events: Sequence[Mapping[str, Any]]
) -> Verdict | None:
    seconds = history.hindered_seconds
    refusal = refusal_to_create(job, history.pods, events)
    if refusal and "create" in seconds:
        text = f"the cluster refuses to make its workers: {refusal}"
        if seconds["create"] >= cluster.start_seconds:
            return Verdict(State.FAILED, text)
        return Verdict(State.STARTING, text, topic="create")
    # Only now: a job whose pods are all refused has no condition either, as if nobody had looked at it.
    if "operator" in seconds:
        text = "waiting for the training operator, which has not looked at the job yet"
        if seconds["operator"] >= cluster.patience_seconds:
            text = f"the training operator has not looked at the job for {cluster.patience_seconds:g} s; is it running?"
            return Verdict(State.FAILED, text)
        if seconds["operator"] >= cluster.start_seconds / 4:
            return Verdict(State.STARTING, text, topic="operator")
    for worker, pod in sorted(history.pods.items()):
        hindrance = hindrance_of(pod, events)
        if hindrance is None:
            continue
        lasted = seconds.get(f"{hindrance.kind} {uid_of(pod)}", 0.0)
        topic = f"{hindrance.kind} {worker}"
        if hindrance.kind == "start":
            if hindrance.is_final or lasted >= cluster.start_seconds:
                return Verdict(State.FAILED, f"worker {worker} cannot start: {hindrance.text}")
            return Verdict(State.STARTING, f"worker {worker} cannot start yet: {hindrance.text}", topic=topic)
        if cluster.schedule_seconds is not None and lasted >= cluster.schedule_seconds:
            text = f"worker {worker} found no node for {cluster.schedule_seconds:g} s (schedule_seconds)"
            return Verdict(State.FAILED, f"{text}: {hindrance.text}")
        return Verdict(State.STARTING, f"waiting for nodes: {hindrance.text}", topic=topic)
    return None


def _progress(history: History, cluster: ClusterConfig) -> Verdict:
    num_there = sum(is_running(pod) or is_over(pod) for pod in history.pods.values())
    if num_there >= cluster.num_workers:
        return Verdict(State.RUNNING, "running", topic="running")
    return Verdict(State.STARTING, f"{num_there} of {cluster.num_workers} workers running", topic="starting")


def _last_of(history: History, worker: int, *, is_disruption: bool | None = None) -> Ending | None:
    of_worker = (ending for ending in reversed(history.endings) if ending.worker == worker)
    return next((ending for ending in of_worker if is_disruption in (None, ending.is_disruption)), None)
