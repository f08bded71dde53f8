"""What a PyTorchJob's object says: pure functions of mappings."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Job = Mapping[str, Any]


def condition(job: Job, kind: str) -> Mapping[str, Any] | None:
    """Return the condition of a kind if it holds, else None."""
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and each.get("status") == "True"), None)


def has_succeeded(job: Job) -> bool:
    """Return whether the operator has called it done."""
    return condition(job, "Succeeded") is not None


def has_failed(job: Job) -> bool:
    """Return whether the operator has given it up."""
    return condition(job, "Failed") is not None


def is_suspended(job: Job) -> bool:
    """Return whether a queue holds it back."""
    return bool((job["spec"].get("runPolicy") or {}).get("suspend"))


def is_being_deleted(job: Job) -> bool:
    """Return whether somebody has deleted it, and only what it owns is still being removed."""
    return bool(job["metadata"].get("deletionTimestamp"))


def uid_of(thing: Mapping[str, Any]) -> str:
    """Return what tells an object from an earlier one of its name."""
    return str(thing["metadata"]["uid"])


def name_of(thing: Mapping[str, Any]) -> str:
    """Return an object's name."""
    return str(thing["metadata"]["name"])


def made_at(job: Job) -> datetime:
    """Return when it was made."""
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"]).astimezone(UTC)


def started_at(job: Job) -> datetime | None:
    """Return when it was let go; a job that a queue took back and let go again started then."""
    return read_time((job.get("status") or {}).get("startTime"))


def ended_at(job: Job) -> datetime | None:
    """Return when it succeeded or failed; the operator sets no time of completion on some failures."""
    status = job.get("status") or {}
    end = condition(job, "Succeeded") or condition(job, "Failed") or {}
    return read_time(status.get("completionTime")) or read_time(end.get("lastTransitionTime"))


def running_since(job: Job) -> datetime | None:
    """Return since when a worker has been running, or None if none is."""
    return read_time((condition(job, "Running") or {}).get("lastTransitionTime"))


def restarting_since(job: Job) -> datetime | None:
    """Return since when failed workers have been made anew and none has run, or None if that is not so.

    What the operator said before the job was last let out of its queue still stands there, and counts for nothing.
    """
    since = read_time((condition(job, "Restarting") or {}).get("lastTransitionTime"))
    started = read_time((job.get("status") or {}).get("startTime"))
    return since if since and started and since >= started else None


def read_time(text: str | None) -> datetime | None:
    """Return the time that the API has written, to the microsecond."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
