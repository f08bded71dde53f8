"""Functions that read from the object of a worker's pod how the pod failed, or why it does not start."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from peerkd.launch.exit_codes import OUT_OF_MEMORY
from peerkd.launch.kubernetes.kinds.kind import JobKind, condition, read_time, uid_of

Pod = Mapping[str, Any]

_DISRUPTION_REASONS: Final = frozenset(
    {
        "Evicted",
        "Preempting",
        "Preempted",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "NodeAffinity",
        "UnexpectedAdmissionError",
    }
)
"""The values of ``reason`` in the status of a pod that the cluster stopped or that the kubelet rejected.

Reasons that begin with ``OutOf`` have the same meaning."""

_EXCEEDED_LIMIT: Final = re.compile(r"exceed(s|ed) (the limit|the total limit|its local ephemeral storage limit)")
"""The pattern of the message of an eviction that the pod caused itself, because it used too much disk space."""

_DELETION_EXIT_CODES: Final = (None, 137, 143)
"""The exit codes of a pod that was deleted.

Its process ends because of SIGTERM (143), is killed after the grace period (137), or leaves no exit code because its
node is gone (None)."""

_DELETION_LAG: Final = timedelta(seconds=2)
"""The time that is added to the time of a deletion.

A controller deletes the other pods of a job within the second in which one has failed, and the clocks of two machines
may differ. With the lag, the deletion is always later than the failure."""

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""The format of times in the Kubernetes API."""

_STARTUP_ERRORS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""The values of ``reason`` of a waiting container that needs somebody to act before it can start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PodFailure:
    """The failure of one pod of a worker, or its disruption."""

    worker: int
    uid: str
    exit_code: int | None
    """The exit code of the container; None if there is none, for instance because the node is gone."""

    reason: str
    message: str
    """The termination message of the worker; if it has none, its last output lines; if there are none, the cluster's
    message.

    The text is empty if none of the three exists.
    """

    finished_at: str
    """The time at which the container ended, in the API's format; empty if it is unknown."""

    began_at: str
    """The time of the first sign of the failure, in the API's format; empty if it is unknown.

    This sign is the announcement of the disruption, the deletion of the pod or the end of the container. For a
    deletion, the time is a little later than the deletion itself, because of ``_DELETION_LAG``.
    """

    num_restarts_before: int
    """How often all workers of the job had been restarted together before."""

    was_announced: bool
    """Whether the cluster announced the disruption by the condition DisruptionTarget."""

    was_deleted: bool
    """Whether the pod was deleted before its process had ended."""

    is_disruption: bool
    """Whether the cluster removed the pod, by an eviction, a preemption, a deletion or the loss of its node."""

    is_retryable: bool
    """Whether the worker may succeed in another pod."""

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the worker used more memory than its limit."""
        return self.reason == "OOMKilled"

    def describe(self) -> str:
        """Return the reason and the exit code in words."""
        code = "" if self.exit_code is None else f"exit code {self.exit_code}"
        if self.reason in ("", "Error"):
            return code or "no reason given"
        return f"{self.reason} ({code})" if code else self.reason


@dataclass(frozen=True, slots=True)
class StartupProblem:
    """A problem that keeps a pod from starting."""

    kind: Literal["start", "schedule"]
    """``start`` if the pod's image, volumes or configuration are wrong; ``schedule`` if no node has room for it."""

    text: str
    is_permanent: bool = False
    """Whether the problem stays until somebody acts."""


def is_running(pod: Pod) -> bool:
    """Return whether the pod's process is running and the pod is not being deleted."""
    return _phase(pod) == "Running" and not pod["metadata"].get("deletionTimestamp")


def has_finished(pod: Pod) -> bool:
    """Return whether the pod's process has ended, successfully or not."""
    return _phase(pod) in ("Succeeded", "Failed")


def has_failed(pod: Pod) -> bool:
    """Return whether the pod's process has ended without success, or was stopped by the cluster."""
    return _phase(pod) == "Failed"


def is_unschedulable(pod: Pod) -> bool:
    """Return whether the scheduler finds no node for a pod; False for a pod with a scheduling gate."""
    return _phase(pod) in ("Pending", "") and (_scheduled(pod) or {}).get("reason") == "Unschedulable"


def has_log(pod: Pod, kind: JobKind) -> bool:
    """Return whether the training container has started, so that its log can be read."""
    return bool({"running", "terminated"} & (_container(pod, kind).get("state") or {}).keys())


def is_disrupted(pod: Pod) -> bool:
    """Return whether the cluster has announced that it will remove the pod. The pod may still be running."""
    return _disruption(pod) is not None


def running_since(pod: Pod, kind: JobKind) -> datetime | None:
    """Return the time at which the training container started, if it is running; else None."""
    state = _container(pod, kind).get("state") or {}
    return read_time((state.get("running") or {}).get("startedAt")) if is_running(pod) else None


def failure_of(pod: Pod, kind: JobKind, *, is_gone: bool = False) -> PodFailure | None:
    """Return how a pod failed. Return None if the pod succeeded, or if it is still running or waiting.

    A pod that no longer exists and did not succeed counts as failed.

    Args:
        pod: The pod as it was last observed.
        kind: The kind of its job.
        is_gone: Whether the pod no longer exists.
    """
    phase, status = _phase(pod), pod.get("status") or {}
    if phase == "Succeeded" or (phase != "Failed" and not is_gone):
        return None
    terminated = (_container(pod, kind).get("state") or {}).get("terminated") or {}
    disruption = _disruption(pod) or {}
    exit_code = terminated.get("exitCode")
    was_deleted = bool(pod["metadata"].get("deletionTimestamp")) or phase != "Failed"
    reason = status.get("reason") or disruption.get("reason") or terminated.get("reason") or ""
    termination_message, is_out_of_memory = _read_termination_message(terminated.get("message") or "")
    if terminated.get("reason") == "OOMKilled" or is_out_of_memory:
        reason = "OOMKilled"
    message = termination_message or status.get("message") or disruption.get("message") or ""
    is_disruption = (
        reason != "OOMKilled"
        and not _EXCEEDED_LIMIT.search(status.get("message") or "")
        and (
            bool(disruption)
            or _is_disruption_reason(status.get("reason") or "")
            or (was_deleted and exit_code in _DELETION_EXIT_CODES)
        )
    )
    reason = reason or ("deleted" if was_deleted else "")
    finished_at = terminated.get("finishedAt") or ""
    deleted_at = _deleted_at(pod)
    ended_by_deletion = deleted_at is not None and exit_code in _DELETION_EXIT_CODES
    return PodFailure(
        worker=kind.worker_index(pod),
        uid=uid_of(pod),
        exit_code=exit_code,
        reason=reason,
        message=message.strip(),
        finished_at=finished_at,
        began_at=(
            disruption.get("lastTransitionTime")
            or ((deleted_at + _DELETION_LAG).strftime(_TIME_FORMAT) if deleted_at and ended_by_deletion else "")
            or finished_at
        ),
        num_restarts_before=kind.num_restarts_before(pod),
        was_announced=bool(disruption),
        was_deleted=was_deleted,
        is_disruption=is_disruption,
        is_retryable=(
            is_disruption or exit_code is None or reason == "Evicted" or exit_code in kind.retryable_exit_codes
        ),
    )


def startup_problem_of(pod: Pod, kind: JobKind, events: Iterable[Mapping[str, Any]] = ()) -> StartupProblem | None:
    """Return the problem that keeps a pod from starting; None if none is known.

    Args:
        pod: The pod as it was last observed.
        kind: The kind of its job.
        events: Warnings about this pod and others.
    """
    if _phase(pod) not in ("Pending", ""):
        return None
    waiting = (_container(pod, kind).get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in _STARTUP_ERRORS:
        text = _join(reason, waiting.get("message"))
        return StartupProblem("start", text, is_permanent=reason == "InvalidImageName")
    unscheduled = _scheduled(pod)
    if is_unschedulable(pod) and unscheduled is not None:
        return StartupProblem("schedule", _without_period(unscheduled.get("message") or "no node has room"))
    if unscheduled is not None:
        return None
    for event in events:
        message = event.get("message") or ""
        is_of_pod = (event.get("involvedObject") or {}).get("uid") == uid_of(pod)
        if is_of_pod and event.get("reason") == "FailedMount" and "not found" in message:
            return StartupProblem("start", _join("FailedMount", message))
    return None


def _is_disruption_reason(reason: str) -> bool:
    return reason in _DISRUPTION_REASONS or reason.startswith("OutOf")


def _phase(pod: Pod) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _disruption(pod: Pod) -> Mapping[str, Any] | None:
    return condition(pod, "DisruptionTarget")


def _deleted_at(pod: Pod) -> datetime | None:
    """Return the time at which the deletion of a pod was requested; None if it was not.

    The pod's metadata contain the time by which the pod must have ended, which is later by the grace period.
    """
    metadata = pod["metadata"]
    end = read_time(metadata.get("deletionTimestamp"))
    return end - timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0) if end else None


def _scheduled(pod: Pod) -> Mapping[str, Any] | None:
    """Return the condition PodScheduled if its status is False, else None."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return next(
        (each for each in conditions if each.get("type") == "PodScheduled" and each.get("status") == "False"), None
    )


def _container(pod: Pod, kind: JobKind) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in statuses if each.get("name") == kind.container), {})


def _read_termination_message(message: str) -> tuple[str, bool]:
    """Return the text of a termination message, and whether the stage reports in it that memory ran out.

    A stage writes JSON. Any other message is returned unchanged.
    """
    try:
        decoded = json.loads(message)
    except ValueError:
        return message, False
    if isinstance(decoded, dict) and "message" in decoded:
        return str(decoded["message"]), decoded.get(OUT_OF_MEMORY) is True
    return message, False


def _join(reason: str, message: str | None) -> str:
    return f"{reason}: {_without_period(message)}" if message else reason


def _without_period(text: str) -> str:
    return text.strip().rstrip(".")
