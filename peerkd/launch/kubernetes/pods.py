"""What a worker's pod says: how it ended, and what keeps it from starting. Pure functions of mappings."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from peerkd.launch.edge import OUT_OF_MEMORY
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.jobs import uid_of

Pod = Mapping[str, Any]

FIRST_RETRYABLE_EXIT_CODE: Final = 128
"""The operator replaces a pod that ends with this exit code or a higher one; below, its job has failed."""

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
"""Reasons of a pod that the cluster has ended or refused on its node, besides those that begin with ``OutOf``."""

_OWN_LIMIT: Final = re.compile(r"exceed(s|ed) (the limit|the total limit|its local ephemeral storage limit)")
"""Part of the message of an eviction that the pod has caused itself, by using more disk than it may."""

_DELETION_EXIT_CODES: Final = (None, 137, 143)
"""Exit codes of a worker whose pod is deleted: it ends at SIGTERM, or is killed after its grace period or with its
node."""

_CANNOT_START: Final = frozenset(
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
"""Reasons of a container that waits, none of which is a matter of time alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How one pod of a worker ended without success."""

    worker: int
    uid: str
    exit_code: int | None
    """None: the worker left none, for instance because its node is gone."""

    reason: str
    message: str
    """What the worker left as its last word, or its last lines, or what the cluster says; or empty."""

    at: str
    """When, as the cluster writes it; or empty."""

    was_deleted: bool
    """Somebody deleted it while it was at work."""

    is_disruption: bool
    """The cluster took the pod away, by an eviction, a preemption, a deletion or the loss of its node: the worker has
    not failed."""

    @property
    def may_pass(self) -> bool:
        """Whether the same worker, started again, may succeed."""
        if self.is_disruption or self.exit_code is None or self.reason == "Evicted":
            return True
        return self.exit_code >= FIRST_RETRYABLE_EXIT_CODE

    @property
    def is_out_of_memory(self) -> bool:
        """Whether the worker used more memory than its limit."""
        return self.reason == "OOMKilled"

    def told(self) -> str:
        """Return the reason and the exit code in words."""
        code = "" if self.exit_code is None else f"exit code {self.exit_code}"
        if self.reason in ("", "Error"):
            return code or "no reason given"
        return f"{self.reason} ({code})" if code else self.reason


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What keeps a worker from starting."""

    kind: Literal["start", "schedule"]
    """start: something is wrong with the worker. schedule: no node has room, which may change."""

    text: str
    is_final: bool = False
    """Whether waiting cannot help."""


def is_running(pod: Pod) -> bool:
    """Return whether its process is at work."""
    return _phase(pod) == "Running" and not pod["metadata"].get("deletionTimestamp")


def is_over(pod: Pod) -> bool:
    """Return whether its process has ended, well or not."""
    return _phase(pod) in ("Succeeded", "Failed")


def has_log(pod: Pod) -> bool:
    """Return whether its container has been started, so that there is something to follow."""
    return bool({"running", "terminated"} & (_container(pod).get("state") or {}).keys())


def ending_of(pod: Pod, *, is_gone: bool = False) -> Ending | None:
    """Return how a pod ended without success; None if it succeeded, or is still there and at work.

    Args:
        pod: As it was seen last.
        is_gone: The cluster no longer has it.
    """
    phase, status = _phase(pod), pod.get("status") or {}
    if phase == "Succeeded" or (phase != "Failed" and not is_gone):
        return None
    terminated = (_container(pod).get("state") or {}).get("terminated") or {}
    disruption: Mapping[str, Any] = next(
        (
            each
            for each in status.get("conditions") or []
            if each.get("type") == "DisruptionTarget" and each.get("status") == "True"
        ),
        {},
    )
    was_deleted = bool(pod["metadata"].get("deletionTimestamp")) or phase != "Failed"
    reason = status.get("reason") or disruption.get("reason") or terminated.get("reason") or ""
    last_word, is_out_of_memory = _last_word(terminated.get("message") or "")
    if terminated.get("reason") == "OOMKilled" or is_out_of_memory:
        reason = "OOMKilled"
    message = last_word or status.get("message") or disruption.get("message") or ""
    is_disruption = (
        reason != "OOMKilled"
        and not _OWN_LIMIT.search(status.get("message") or "")
        and (
            bool(disruption)
            or _is_disruption_reason(status.get("reason") or "")
            or (was_deleted and terminated.get("exitCode") in _DELETION_EXIT_CODES)
        )
    )
    return Ending(
        worker=names.worker_of(pod),
        uid=uid_of(pod),
        exit_code=terminated.get("exitCode"),
        reason=reason or ("deleted" if was_deleted else ""),
        message=message.strip(),
        at=terminated.get("finishedAt") or "",
        was_deleted=was_deleted,
        is_disruption=is_disruption,
    )


def hindrance_of(pod: Pod, events: Iterable[Mapping[str, Any]] = ()) -> Hindrance | None:
    """Return what keeps a pod from starting; None if nothing does, as far as it shows.

    Args:
        pod: As it was seen last.
        events: Warnings about any pods.
    """
    if _phase(pod) not in ("Pending", ""):
        return None
    status, waiting = pod.get("status") or {}, (_container(pod).get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or ""
    if reason in _CANNOT_START:
        return Hindrance("start", _joined(reason, waiting.get("message")), is_final=reason == "InvalidImageName")
    for each in status.get("conditions") or []:
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            # A gate that a queue has yet to open looks alike and is not this.
            if each.get("reason") == "Unschedulable":
                return Hindrance("schedule", _sentence(each.get("message") or "no node has room"))
            return None
    for event in events:
        message = event.get("message") or ""
        of_this_pod = (event.get("involvedObject") or {}).get("uid") == uid_of(pod)
        if of_this_pod and event.get("reason") == "FailedMount" and "not found" in message:
            return Hindrance("start", _joined("FailedMount", message))
    return None


def _is_disruption_reason(reason: str) -> bool:
    return reason in _DISRUPTION_REASONS or reason.startswith("OutOf")


def _phase(pod: Pod) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _container(pod: Pod) -> Mapping[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return next((each for each in statuses if each.get("name") == names.CONTAINER), {})


def _last_word(message: str) -> tuple[str, bool]:
    """Return the sentence in a termination message and whether memory had run out, as a stage's edge may tell."""
    try:
        decoded = json.loads(message)
    except ValueError:
        return message, False
    if isinstance(decoded, dict) and "message" in decoded:
        return str(decoded["message"]), decoded.get(OUT_OF_MEMORY) is True
    return message, False


def _joined(reason: str, message: str | None) -> str:
    return f"{reason}: {_sentence(message)}" if message else reason


def _sentence(text: str) -> str:
    return text.strip().rstrip(".")
