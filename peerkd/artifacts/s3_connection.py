"""Connections to an S3 server that return only complete and correct responses.

If a connection breaks within the headers of a response, Python's HTTP client takes the headers for complete. Such a
response would have no length, and would be read as an empty object.
"""

import http.client
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from peerkd.artifacts.s3_answers import check_answer, find_call
from peerkd.artifacts.s3_environment import Settings, read_key_files, read_settings

__all__ = ["CheckedPool", "connect", "read_settings"]

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 60
_MAX_CONNECTIONS: Final = 32


def connect(settings: Settings) -> Minio:
    """Return a MinIO client with these settings, without sending a request.

    Raises:
        ValueError: If the client does not accept the endpoint or the region.
    """
    address = urlsplit(settings.endpoint)
    try:
        return Minio(
            address.netloc,
            credentials=_CurrentKeys(settings),
            secure=address.scheme == "https",
            region=settings.region,
            http_client=CheckedPool(settings.ca_file),
        )
    except ValueError as error:
        raise ValueError(
            f"PEERKD_S3_ENDPOINT and PEERKD_S3_REGION must be those of an S3 server, got {settings.endpoint} and "
            f"{settings.region}: {error}."
        ) from error


class _CurrentKeys(Provider):
    """Provides the keys for each request. Keys in mounted files are read again, because they may have been replaced."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.secret_folder
        self._credentials = Credentials(settings.access_key, settings.secret_key, settings.session_token)

    def retrieve(self) -> Credentials:
        if self._folder:
            # While files are being replaced, they may be missing for a moment.
            with suppress(ValueError):
                self._credentials = Credentials(*read_key_files(self._folder))
        return self._credentials


class CheckedPool(urllib3.PoolManager):
    """A pool of connections that checks each response, and neither repeats requests nor follows redirects."""

    def __init__(self, ca_file: str | None) -> None:
        """Create a pool without connections.

        Args:
            ca_file: A file with the certificates of the authorities to trust. None means the public authorities.
        """
        super().__init__(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=False,
            maxsize=_MAX_CONNECTIONS,
            ca_certs=ca_file or certifi.where(),
        )
        self.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}

    def urlopen(  # type: ignore[override]  # like the function that it overrides
        self, method: str, url: str, redirect: bool = False, **kwargs: Any
    ) -> BaseHTTPResponse:
        """Send a request once, check the response with ``check_answer``, and return the response.

        Raises:
            HTTPError: If no response arrives, or the connection breaks before the end of the headers.
            AnswerError, TransientError, ParseError: If ``check_answer`` refuses the response.
        """
        # A redirect is never followed: the signature of a request is not valid for the host that it names.
        response = super().urlopen(method, url, redirect=False, **kwargs)
        try:
            check_answer(find_call(method, url, kwargs["headers"]), response)
        except BaseException:
            response.close()
            raise
        return response


class _WholeLines:
    """The stream of a response. ``readline`` raises an error if the stream ends before the line does."""

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
