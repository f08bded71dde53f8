"""The stores that must behave alike. A new backend is one more class here and one more entry in ``BACKENDS``."""

from pathlib import Path
from typing import Protocol

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore


class Backend(Protocol):
    """A place for artifacts, and a way to tamper with it behind the store's back."""

    def open(self) -> ArtifactStore:
        """Return a store on this place, as another process would open it; it is not patient with a busy workspace."""

    def names(self, key: str) -> set[str]:
        """Return the names of all that is kept under a key."""

    def read(self, key: str, name: str) -> bytes: ...

    def write(self, key: str, name: str, content: bytes) -> None: ...

    def delete(self, key: str, name: str) -> None: ...


class FilesystemBackend:
    def __init__(self, folder: Path) -> None:
        self._root = folder / "store"

    def open(self) -> ArtifactStore:
        return FilesystemStore(self._root, lock_patience_seconds=0)

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


BACKENDS = {"filesystem": FilesystemBackend}


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made: Backend = request.param(tmp_path)
    return made


@pytest.fixture
def store(backend: Backend) -> ArtifactStore:
    return backend.open()
