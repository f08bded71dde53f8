"""Deletion in a store in a local folder. It is impossible while a run uses the store.

A run holds a shared lock on the folder of its store, and a deletion an exclusive one. The kernel releases a lock
however its process ends. Besides, a worker locks the workspace in which it works, so a store is also known to be in use
if the worker belongs to a run on another machine.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from peerkd.artifacts.store import MANIFEST_NAME, check_name
from peerkd.errors import WorkspaceBusyError

_LEFTOVER: Final = re.compile(r"(?P<key>.+)\.(?P<kind>partial|publishing|damaged-\d+)")
_LOCKS: Final = (".lock", ".publish-lock")


@contextmanager
def in_use(root: Path) -> Iterator[None]:
    """Mark a store as in use in this context, so that nothing is deleted from it. The folder need not exist.

    Raises:
        WorkspaceBusyError: If ``peerkd clean`` is at work on the store.
    """
    with _locked(
        root, fcntl.LOCK_SH, busy=f"peerkd clean is at work on {root}; run the command again when it has ended."
    ):
        yield


@contextmanager
def unused(root: Path) -> Iterator[None]:
    """Keep runs from using a store in this context.

    Raises:
        WorkspaceBusyError: If a run uses the store.
    """
    busy = f"A run is going on in {root}, which may need what would be deleted; wait for it or end it."
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


def find_leftovers(root: Path) -> Mapping[str, int]:
    """Return the folders of workspaces and of damaged artifacts, as keys with their endings, each with its bytes."""
    found = {}
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir() and _LEFTOVER.fullmatch(path.name)):
        found[folder.relative_to(root).as_posix()] = sum(
            path.stat().st_size for path in folder.rglob("*") if path.is_file()
        )
    return found


def split_leftover(name: str) -> tuple[str, str]:
    """Return the key of a leftover folder, and its kind: ``partial``, ``publishing`` or ``damaged``."""
    found = _LEFTOVER.fullmatch(name)
    assert found
    return found["key"], found["kind"].partition("-")[0]


def delete_artifacts(root: Path, keys: Iterable[str]) -> None:
    """Delete artifacts in the given order, with the files that lock their workspaces.

    A manifest is deleted before the other files, so an artifact is whole or does not exist at any moment.
    """
    for key in keys:
        folder = root / check_name(key)
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        shutil.rmtree(folder)
        for ending in _LOCKS:
            folder.with_name(folder.name + ending).unlink(missing_ok=True)
        _remove_if_empty(folder.parent)


def delete_leftovers(root: Path, names: Iterable[str]) -> None:
    """Delete folders that ``find_leftovers`` found."""
    for name in names:
        shutil.rmtree(root / check_name(name))
        _remove_if_empty((root / name).parent)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
