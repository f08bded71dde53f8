"""Parsing the answers of the cluster's API: pure functions of bytes, mappings and headers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.patience import may_pass

_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""A warning in a header (RFC 7234), as the API writes it."""


def decode(data: bytes | str, path: str) -> dict[str, Any]:
    """Return the object that an answer holds.

    Raises:
        ClusterUnavailableError: If it holds none, so that it comes from a proxy and not from the API.
    """
    try:
        decoded = json.loads(data) if data else {}
    except ValueError as error:
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with JSON, got {data[:80]!r}.") from error
    if not isinstance(decoded, dict):
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with a JSON object, got {data[:80]!r}.")
    return decoded


def status_of(answer: bytes) -> dict[str, Any]:
    """Return the Status object of an answer that is an error, or one with the answer's text as its message."""
    try:
        decoded = json.loads(answer)
    except ValueError:
        return {"message": answer[:200].decode("utf-8", errors="replace").strip()}
    return decoded if isinstance(decoded, dict) else {}


def error_of(told: Mapping[str, Any], *, status: int, action: str) -> ClusterRefusedError | ClusterUnavailableError:
    """Return the error that a Status describes: unavailable if another attempt may succeed, else refused.

    Args:
        told: The Status.
        status: The HTTP status of the answer.
        action: What was requested, as in "GET /api/v1/nodes".
    """
    reason, message = str(told.get("reason") or ""), str(told.get("message") or "no reason given").rstrip(".")
    if may_pass(status):
        return ClusterUnavailableError(f"The cluster's API could not {action}: {message} (status {status}).")
    return ClusterRefusedError(
        f"The cluster refused to {action}: {message} (status {status}).", status=status, reason=reason
    )


def version_of(seen: Mapping[str, Any]) -> str:
    """Return the version of an object or a list, from which it can be watched.

    Raises:
        ClusterUnavailableError: If it has none, so that it comes from a proxy and not from the API.
    """
    metadata = seen.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if version is None:
        raise ClusterUnavailableError(f"The cluster's API must tell a resourceVersion, got {str(seen)[:80]}.")
    return str(version)


def warnings_of(headers: Iterable[str]) -> Iterator[str]:
    """Yield the texts of ``Warning`` headers."""
    for header in headers:
        for text in _WARNING.findall(header):
            yield re.sub(r"\\(.)", r"\1", text)
