"""The API of a Kubeflow Pipelines server: JSON over HTTP, with errors that show whether a retry may help.

The generated client of ``kfp`` is not used. It accepts a proxy's login page as a run without an id, has no time limits,
and raises ``AttributeError`` or ``UnicodeDecodeError`` for responses that do not come from its server.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.retries import may_pass

_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_LOG_TAIL_BYTES: Final = 1_000_000
_MULTI_USER_HINT: Final = "namespace"


class NotSentError(ClusterUnavailableError):
    """A request certainly had no effect: it was not sent, or the server refused it."""


class Token:
    """A bearer token, which is given as text or as a file.

    A file is read before each request, because tokens expire.
    """

    def __init__(self, text: str = "", *, file: Path | None = None) -> None:
        """Store the token, or read the file for the first time.

        Raises:
            ValueError: If the file cannot be read or is empty.
        """
        self._text, self._file = text.strip(), None if text.strip() else file
        if self._file is not None:
            try:
                self._text = self._file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                raise ValueError(f"token_file must be a file that can be read, got {self._file}: {reason}.") from error
            if not self._text:
                raise ValueError(f"token_file must contain a token, got the empty file {self._file}.")
        if any(ord(character) <= 32 or ord(character) >= 127 for character in self._text):
            raise ValueError("token must be one line of printable ASCII characters without spaces.")

    def text(self) -> str:
        """Return the current token.

        If the token is given as a file that cannot be read or is empty, because it is being replaced, return the token
        that was read last.
        """
        if self._file is not None:
            with contextlib.suppress(OSError, UnicodeDecodeError):
                self._text = self._file.read_text(encoding="utf-8").strip() or self._text
        return self._text


class Api:
    """Sends requests to one server, with a token and time limits."""

    def __init__(self, endpoint: str, *, token: Token) -> None:
        """Prepare the requests; none is sent yet.

        Args:
            endpoint: The address of the server or of its user interface, such as http://localhost:8080.
            token: The token of each request. An empty one is not sent.

        Raises:
            ValueError: If the endpoint is not an address.
        """
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        try:
            parsed = urllib3.util.parse_url(self.endpoint)
        except urllib3.exceptions.LocationParseError:
            parsed = urllib3.util.Url()
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.auth:
            shown = "an address with a password" if parsed.auth else repr(endpoint)
            raise ValueError(f"endpoint must be the http:// or https:// address of the server, got {shown}.")
        self._pool = urllib3.PoolManager(retries=False)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Send a request, and return the JSON object in the response.

        Raises:
            ClusterRefusedError: If the server refuses the request, or redirects it, for instance to a login page.
            NotSentError: If the server cannot have acted on the request; it may be sent again.
            ClusterUnavailableError: If no response arrives, or the response is not a JSON object.
        """
        response = self._send(method, path, query=query, body=body, timeout_seconds=timeout_seconds)
        try:
            data = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            begin = data[:60].decode("utf-8", errors="replace").strip()
            raise ClusterUnavailableError(
                f"{self.endpoint} answered with something other than JSON, as a proxy or a login page does: {begin!r}."
            )
        return answer

    def log_tail(self, path: str) -> str:
        """Return the end of a log.

        Raises:
            ClusterRefusedError: If the server does not have the log.
            ClusterUnavailableError: If no response arrives, or only a part of it.
        """
        response = self._send("GET", path, timeout_seconds=_ANSWER_SECONDS)
        tail = b""
        try:
            for chunk in response.stream(2**16):
                tail = (tail + chunk)[-_LOG_TAIL_BYTES:]
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        finally:
            response.close()
        return tail.decode("utf-8", errors="replace")

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        timeout_seconds: float,
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "peerkd"}
        token = self._token.text()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            response = self._pool.request(
                method,
                self.endpoint + path + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, timeout_seconds), read=timeout_seconds),
                preload_content=False,
                redirect=False,
            )
            if response.status < 300:
                return response
            data = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unavailable(error) from error
        raise self._error_of(response.status, data)

    def _error_of(self, status: int, data: bytes) -> ClusterRefusedError | ClusterUnavailableError:
        reason = f"{_reason_in(data)} (status {status})"
        if may_pass(status):
            # A server error may occur after the server has acted on the request; the other statuses exclude that.
            kind = ClusterUnavailableError if status >= 500 else NotSentError
            return kind(f"{self.endpoint} cannot answer now: {reason}.")
        if status < 400:
            reason = f"it redirects to another page, as for a login (status {status})"
        hint = ""
        if status in (_UNAUTHORIZED, _FORBIDDEN) or status < 400:
            hint = " The token is missing, has expired or may not do this."
        elif _MULTI_USER_HINT in reason.lower():
            hint = " Does the server require a namespace?"
        return ClusterRefusedError(f"{self.endpoint} refused: {reason}.{hint}", status=status)

    def _unavailable(self, error: Exception) -> ClusterUnavailableError:
        text = f"No Kubeflow Pipelines server answers at {self.endpoint}: {_reason(error)}."
        never_connected = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
        if isinstance(error, never_connected) or "certificate" in text.lower():
            return NotSentError(text)
        return ClusterUnavailableError(text)


def segment(text: str) -> str:
    """Return a text as one segment of the path of a URL: all special characters are escaped, including slashes."""
    return quote(text, safe="")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib3.exceptions.ProtocolError) and len(error.args) > 1:
        return str(error.args[1]).rstrip(".")
    # urllib3 begins its other messages with the connection's address in memory.
    return (str(error).rpartition("): ")[2] or type(error).__name__).rstrip(".")


def _reason_in(data: bytes) -> str:
    """Return the reason in the body of an error response, as one line.

    The server sends errors as JSON. An HTML page comes from a proxy; for it, as for a response without a reason, the
    result is "it gives no reason".
    """
    try:
        told = json.loads(data)
        reason = str(told.get("error") or told.get("message") or "")
    except (ValueError, AttributeError):
        reason = data.decode("utf-8", errors="replace") if b"<" not in data[:200] else ""
    return " ".join(reason[:500].split()).rstrip(".") or "it gives no reason"
