"""What the cluster's API answers, taken apart: pure functions of bytes, mappings and headers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError

_STATUSES_THAT_PASS: Final = frozenset({408, 425, 429})
"""Besides all from 500 on."""

_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""A warning in a header (RFC 7234), as the API writes it."""


def decode(data: bytes | str, path: str) -> dict[str, Any]:
    """Return the object that an answer holds.

    Raises:
        ClusterUnavailableError: If it holds none: then it comes from a proxy, and not from the API.
    """
    try:
        decoded = json.loads(data) if data else {}
    except ValueError as error:
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with JSON, got {data[:80]!r}.") from error
    if not isinstance(decoded, dict):
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with a JSON object, got {data[:80]!r}.")
    return decoded


def status_of(answer: bytes) -> dict[str, Any]:
    """Return the Status in an answer that is an error, or its text as the message of one."""
    try:
        decoded = json.loads(answer)
    except ValueError:
        return {"message": answer[:200].decode("utf-8", errors="replace").strip()}
    return decoded if isinstance(decoded, dict) else {}


def error_of(told: Mapping[str, Any], *, status: int, action: str) -> ClusterRefusedError | ClusterUnavailableError:
    """Return the error of a Status: unavailable if it may pass, else refused.

    Args:
        told: The Status.
        status: Of the answer.
        action: What was asked, as in "GET /api/v1/nodes".
    """
    reason, message = str(told.get("reason") or ""), str(told.get("message") or "no reason given").rstrip(".")
    if status in _STATUSES_THAT_PASS or status >= 500:
        return ClusterUnavailableError(f"The cluster's API could not {action}: {message} (status {status}).")
    return ClusterRefusedError(
        f"The cluster refused to {action}: {message} (status {status}).", status=status, reason=reason
    )


def version_of(seen: Mapping[str, Any]) -> str:
    """Return the version of an object or a list, from which it can be watched.

    Raises:
        ClusterUnavailableError: If it has none: then it comes from a proxy, and not from the API.
    """
    metadata = seen.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if version is None:
        raise ClusterUnavailableError(f"The cluster's API must tell a resourceVersion, got {str(seen)[:80]}.")
    return str(version)


def warnings_of(headers: Iterable[str]) -> Iterator[str]:
    """Yield the texts of headers that warn."""
    for header in headers:
        for text in _WARNING.findall(header):
            yield re.sub(r"\\(.)", r"\1", text)
