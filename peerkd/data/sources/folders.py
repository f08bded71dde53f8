"""Folders as a source sees them: sorted, with what lies behind symbolic links, without an endless walk."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from peerkd.data.passed_over import printable
from peerkd.errors import DataSourceError

EntryKind = Literal["file", "folder", "broken link", "special file"]

FolderId = tuple[int, int]
"""Device and inode, which are the same by whatever link a folder is reached."""

_SYSTEM_NAMES = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information")
)


def list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder, sorted by name.

    Raises:
        DataSourceError: If it is missing, is no folder, or may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataSourceError(
            f"data.path: {printable(str(folder))} cannot be listed as a folder: {error.strerror}."
        ) from error


def entry_kind(entry: os.DirEntry[str]) -> EntryKind:
    """Return what an entry is, or what the link leads to if it is one."""
    try:
        # A file system answers both for free with the listing unless the entry is a link.
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        return "broken link"
    return "broken link" if entry.is_symlink() and not os.path.exists(entry.path) else "special file"


def is_hidden(name: str) -> bool:
    """Return whether an operating system or a program put the entry there, beside the data."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def folder_id(folder: Path) -> FolderId:
    """Return what tells one folder from another.

    Raises:
        DataSourceError: If the folder is gone.
    """
    try:
        status = folder.stat()
    except OSError as error:
        raise DataSourceError(f"data.path: {printable(str(folder))} cannot be found: {error.strerror}.") from error
    return status.st_dev, status.st_ino


def walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str], EntryKind]]:
    """Yield every entry below ``root`` that is no folder, with its path below ``root`` and its kind.

    Folders behind links are walked too. A link to a folder that it lies in would lead round for ever: it is yielded
    as a broken link.

    Raises:
        DataSourceError: If a folder cannot be listed.
    """
    # Not a recursive function: a path may have more folders than Python has frames.
    waiting: list[tuple[Path, str, frozenset[FolderId]]] = [(root, "", frozenset([folder_id(root)]))]
    while waiting:
        folder, prefix, above = waiting.pop()
        for entry in list_entries(folder):
            relative_path = prefix + entry.name
            kind = entry_kind(entry)
            if kind != "folder":
                yield relative_path, entry, kind
                continue
            inner = Path(entry.path)
            identity = folder_id(inner)
            if identity in above:
                yield relative_path, entry, "broken link"
            else:
                waiting.append((inner, f"{relative_path}/", above | {identity}))


def special_kind(mode: int) -> str:
    """Return what a file that is no regular file is, from its ``st_mode``."""
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    return next((name for test, name in kinds if test(mode)), "a device")
