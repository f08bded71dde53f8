"""Deletion in a store. While a run uses a store in a local folder, nothing can be deleted from it.

A run holds a shared lock on the folder of its store, and a deletion holds an exclusive lock. The kernel releases the
lock of a process however the process ends. In addition, each worker locks the workspace in which it works. The locks of
workers show that a store is in use even if the run is on another machine.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from peerkd.artifacts.store import MANIFEST_NAME, check_name
from peerkd.errors import WorkspaceBusyError

_LEFTOVER: Final = re.compile(r"(?P<key>.+)\.(?P<kind>partial|publishing|damaged-\d+)")
_LOCKS: Final = (".lock", ".publish-lock")


class StoreCleaner(Protocol):
    """An object that finds and deletes parts of a store.

    It may list the store only once, and then misses later changes.
    """

    @property
    def address(self) -> str:
        """The address of the store."""

    def unused(self) -> AbstractContextManager[None]:
        """Keep runs from using the store during the ``with`` block, if the store has locks.

        Raises:
            WorkspaceBusyError: If a run uses the store.
        """

    def leftovers(self) -> Mapping[str, int]:
        """Return the size in bytes of each workspace and each damaged artifact, by its name in the store."""

    def seconds_since_change(self, name: str) -> float | None:
        """Return how long ago an artifact, or a workspace ``<key>.partial``, was last written.

        The result is None if it does not exist. It is also None in a store with locks, because the locks show what is
        in use.
        """

    def delete_artifacts(self, keys: Iterable[str]) -> None:
        """Delete artifacts in the given order. At any moment, an artifact is whole or does not exist."""

    def delete_leftovers(self, names: Iterable[str]) -> None:
        """Delete workspaces and damaged artifacts that ``leftovers`` has returned."""


class FolderCleaner:
    """The ``StoreCleaner`` of a store in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def address(self) -> str:
        """The path of the folder."""
        return str(self._root)

    def unused(self) -> AbstractContextManager[None]:
        """Keep runs from using the store during the ``with`` block, as the function ``unused`` of this module does."""
        return unused(self._root)

    def leftovers(self) -> Mapping[str, int]:
        """Return the size in bytes of each folder with a workspace or a damaged artifact, by its name in the store."""
        folders = sorted(path for path in self._root.glob("*/*") if path.is_dir() and is_leftover(path.name))
        return {
            folder.relative_to(self._root).as_posix(): sum(
                path.stat().st_size for path in folder.rglob("*") if path.is_file()
            )
            for folder in folders
        }

    def seconds_since_change(self, name: str) -> float | None:
        """Return None, because locks show whether the artifact or workspace is in use."""
        return None

    def delete_artifacts(self, keys: Iterable[str]) -> None:
        """Delete artifacts in the given order, with the files that lock their workspaces.

        A manifest is deleted before the other files, so an artifact is whole or does not exist at any moment.
        """
        for key in keys:
            folder = self._root / check_name(key)
            (folder / MANIFEST_NAME).unlink(missing_ok=True)
            shutil.rmtree(folder)
            for ending in _LOCKS:
                folder.with_name(folder.name + ending).unlink(missing_ok=True)
            _remove_if_empty(folder.parent)

    def delete_leftovers(self, names: Iterable[str]) -> None:
        """Delete folders that ``leftovers`` has returned."""
        for name in names:
            shutil.rmtree(self._root / check_name(name))
            _remove_if_empty((self._root / name).parent)


@contextmanager
def in_use(root: Path) -> Iterator[None]:
    """Mark a store as in use during the ``with`` block, so that nothing is deleted from it. The folder need not exist.

    Raises:
        WorkspaceBusyError: If ``peerkd clean`` is at work on the store.
    """
    with _locked(
        root, fcntl.LOCK_SH, busy=f"peerkd clean is at work on {root}; run the command again when it has ended."
    ):
        yield


@contextmanager
def unused(root: Path) -> Iterator[None]:
    """Keep runs from using a store during the ``with`` block.

    Raises:
        WorkspaceBusyError: If a run uses the store.
    """
    busy = f"A run is in progress in {root}, which may need what would be deleted; wait for it or end it."
    with _locked(root, fcntl.LOCK_EX, busy=busy):
        for path in root.rglob("*.lock"):
            with path.open("a") as lock:
                try:
                    fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise WorkspaceBusyError(busy) from error
        yield


@contextmanager
def _locked(root: Path, kind: int, *, busy: str) -> Iterator[None]:
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield
        return
    try:
        # A file system without locks for folders still has those of workspaces, which a store requires.
        with suppress(OSError):
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise WorkspaceBusyError(busy) from error
        yield
    finally:
        os.close(descriptor)


def is_leftover(name: str) -> bool:
    """Return whether a name in a store is that of a workspace or of a damaged artifact."""
    return _LEFTOVER.fullmatch(name) is not None


def split_leftover(name: str) -> tuple[str, str]:
    """Return the key of a leftover, and its kind: ``partial``, ``publishing`` or ``damaged``."""
    found = _LEFTOVER.fullmatch(name)
    assert found
    return found["key"], found["kind"].partition("-")[0]


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


if TYPE_CHECKING:

    def _(cleaner: FolderCleaner) -> StoreCleaner:
        return cleaner
