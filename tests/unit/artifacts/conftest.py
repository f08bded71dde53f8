"""The backends, which must behave alike. A new backend is one more class here and one more entry in ``BACKENDS``."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.s3 import S3Store
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_environment import read_settings
from peerkd.artifacts.s3_retries import StoreRetries
from peerkd.artifacts.store import ArtifactStore
from tests.s3_proxy import S3Proxy, proxy_to
from tests.s3_server import S3Server

SMALLEST_PART_BYTES = 5 * 1024**2
"""The smallest size that S3 accepts for all parts of an upload but the last."""


class Backend(Protocol):
    """A place for artifacts, with functions that change it without the store."""

    address: str
    """The address of the store, as a user writes it."""

    def open(self) -> ArtifactStore:
        """Return a store as another process would open it. It does not wait for a busy workspace."""

    def names(self, key: str) -> set[str]:
        """Return the names of all files below a key, and of the folders if the backend has any."""

    def read(self, key: str, name: str) -> bytes: ...

    def write(self, key: str, name: str, content: bytes) -> None: ...

    def delete(self, key: str, name: str) -> None: ...


class FilesystemBackend:
    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._root = request.getfixturevalue("tmp_path") / "store"
        self.address = str(self._root)

    def open(self) -> ArtifactStore:
        return FilesystemStore(self._root, lock_wait_seconds=0)

    def names(self, key: str) -> set[str]:
        folder = self._root / key
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}

    def read(self, key: str, name: str) -> bytes:
        return (self._root / key / name).read_bytes()

    def write(self, key: str, name: str, content: bytes) -> None:
        path = self._root / key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def delete(self, key: str, name: str) -> None:
        (self._root / key / name).unlink()


class S3Backend:
    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._bucket: Bucket = request.getfixturevalue("bucket")
        self._prefix: str = request.getfixturevalue("prefix")
        self._cache: Path = request.getfixturevalue("tmp_path") / "cache"
        self.address = f"s3://{self._bucket.name}/{self._prefix}"

    def open(self) -> ArtifactStore:
        return S3Store(self._bucket, self._prefix, cache=self._cache)

    def names(self, key: str) -> set[str]:
        return set(self._objects(key))

    def read(self, key: str, name: str) -> bytes:
        content = self._bucket.get(self._objects(key)[name])
        assert content is not None
        return content

    def write(self, key: str, name: str, content: bytes) -> None:
        self._bucket.put(self._objects(key)[name], content)

    def delete(self, key: str, name: str) -> None:
        self._bucket.delete([self._objects(key)[name]])

    def _objects(self, key: str) -> dict[str, str]:
        """Return the objects below a key by the names of their files, without the fingerprint of an artifact."""
        below = f"{self._prefix}/{key}/"
        objects = [name.removeprefix(below) for name in self._bucket.names(below)]
        return {re.sub("^[0-9a-f]{16}/", "", name): below + name for name in objects}


BACKENDS = {"filesystem": FilesystemBackend, "s3": S3Backend}


@pytest.fixture(autouse=True)
def no_server_by_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the server that the environment names and the user's cache from the tests."""
    for name in list(os.environ):
        if name.startswith(("PEERKD_S3_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PEERKD_CACHE_FOLDER", str(tmp_path / "user's cache"))


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param(request)
    return made


@pytest.fixture
def store(backend: Backend) -> ArtifactStore:
    return backend.open()


@pytest.fixture
def prefix() -> str:
    """The prefix of a test's objects in the bucket, which all tests share."""
    return f"runs/{uuid4().hex}"


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """The bucket, without a proxy."""
    return _bucket(s3_server, s3_server.endpoint, StoreRetries("", notify=pytest.fail, sleep=_nap))


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Proxy]:
    with proxy_to(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def said() -> list[str]:
    """The messages of a store behind the proxy."""
    return []


@pytest.fixture
def open_distant(
    s3_server: S3Server, proxy: S3Proxy, prefix: str, said: list[str], tmp_path: Path
) -> Callable[..., S3Store]:
    """Open a store behind the proxy, with parts as small as S3 allows."""

    def open_store(*, cache: str = "cache", seconds: float = 60, clock: Callable[[], float] | None = None) -> S3Store:
        clocks = {"clock": clock} if clock else {}
        retries = StoreRetries("S3", notify=said.append, seconds=seconds, sleep=_nap, **clocks)
        return S3Store(
            _bucket(s3_server, proxy.endpoint, retries),
            prefix,
            cache=tmp_path / cache,
        )

    return open_store


def _nap(seconds: float) -> None:
    time.sleep(min(seconds, 0.01))


def _bucket(server: S3Server, endpoint: str, retries: StoreRetries) -> Bucket:
    settings = read_settings(server.environment(endpoint=endpoint))
    return Bucket(
        settings, server.bucket, retries=retries, part_bytes=SMALLEST_PART_BYTES, copy_bytes=SMALLEST_PART_BYTES
    )
