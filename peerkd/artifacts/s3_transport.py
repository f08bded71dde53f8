"""HTTP connections on which an answer that was cut is an error, wherever the cut is.

Python's HTTP client takes the end of a connection for the end of the headers. What was cut there would be an answer
without a length, and so an empty object.
"""

import http.client
from typing import Any, Final

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60
_MAX_CONNECTIONS: Final = 32


def open_pool(ca_file: str | None) -> urllib3.PoolManager:
    """Return connections that neither repeat a request nor follow a redirection.

    ``Patience`` repeats, and tells people about it; a redirected request would carry a signature for another host.

    Args:
        ca_file: Certificates of the authorities to trust. None: the usual ones.
    """
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        retries=False,
        maxsize=_MAX_CONNECTIONS,
        ca_certs=ca_file or certifi.where(),
    )
    pool.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return pool


class _WholeLines:
    """The stream of an answer, of which a line that does not end is an error."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._stream.readline(limit)
        if not line.endswith(b"\n") and len(line) != limit:
            raise http.client.RemoteDisconnected("the connection was cut before the end of the headers")
        return line


class _WholeResponse(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp: Any = _WholeLines(self.fp)


class _PlainConnection(HTTPConnection):
    response_class = _WholeResponse


class _SecureConnection(HTTPSConnection):
    response_class = _WholeResponse


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
