"""Parsers of the responses of the Kubernetes API: pure functions of bytes, mappings and headers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.retries import may_pass

_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""The pattern of a warning in a ``Warning`` header (RFC 7234), as the API writes it."""


def decode(data: bytes | str, path: str) -> dict[str, Any]:
    """Return the JSON object in a response.

    Raises:
        ClusterUnavailableError: If the response is not a JSON object. Such a response comes from a proxy and not from
            the API.
    """
    try:
        decoded = json.loads(data) if data else {}
    except ValueError as error:
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with JSON, got {data[:80]!r}.") from error
    if not isinstance(decoded, dict):
        raise ClusterUnavailableError(f"The cluster's API must answer {path} with a JSON object, got {data[:80]!r}.")
    return decoded


def status_of(answer: bytes) -> dict[str, Any]:
    """Return the Status object in the response to a failed request.

    If the response is not JSON, return a Status object whose message is the text of the response.
    """
    try:
        decoded = json.loads(answer)
    except ValueError:
        return {"message": answer[:200].decode("utf-8", errors="replace").strip()}
    return decoded if isinstance(decoded, dict) else {}


def error_of(
    described: Mapping[str, Any], *, status: int, action: str
) -> ClusterRefusedError | ClusterUnavailableError:
    """Return a ``ClusterUnavailableError`` if the request may succeed later, and else a ``ClusterRefusedError``.

    Args:
        described: The Status object, which contains the message of the error.
        status: The HTTP status of the response.
        action: The request, as in "GET /api/v1/nodes".
    """
    reason, message = str(described.get("reason") or ""), str(described.get("message") or "no reason given").rstrip(".")
    if may_pass(status):
        return ClusterUnavailableError(f"The cluster's API could not {action}: {message} (status {status}).")
    return ClusterRefusedError(
        f"The cluster refused to {action}: {message} (status {status}).", status=status, reason=reason
    )


def version_of(obj: Mapping[str, Any]) -> str:
    """Return the resource version of an object or a list. A watch can start from this version.

    Raises:
        ClusterUnavailableError: If the object has no version. It then comes from a proxy and not from the API.
    """
    metadata = obj.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if version is None:
        raise ClusterUnavailableError(f"The cluster's API must answer with a resourceVersion, got {str(obj)[:80]}.")
    return str(version)


def warnings_of(headers: Iterable[str]) -> Iterator[str]:
    """Yield the texts of ``Warning`` headers."""
    for header in headers:
        for text in _WARNING.findall(header):
            yield re.sub(r"\\(.)", r"\1", text)
