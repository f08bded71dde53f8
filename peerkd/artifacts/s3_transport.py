"""HTTP connections that report every truncated answer as an error.

Python's HTTP client takes the end of a connection for the end of the headers. An answer that is cut there would have no
length, and would be read as an empty object.
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
    """Return a pool of connections that neither retries requests nor follows redirects.

    ``Patience`` retries and reports it; the signature of a request is not valid for the host that a redirect names.

    Args:
        ca_file: A file with the certificates of the authorities to trust; None for the public ones.
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
    """The stream of an answer, in which a line without an end is an error."""

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
