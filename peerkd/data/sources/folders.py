"""Sorted listings of folders that follow symbolic links without entering cycles."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from peerkd.data.wording import printable
from peerkd.errors import DataSourceError
from peerkd.excerpt import start_of

EntryKind = Literal["file", "folder", "broken link", "special file"]

FolderId = tuple[int, int]
"""Device and inode of a folder, which are the same for all links to it."""

_SYSTEM_NAMES = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information")
)


def list_entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name.

    Raises:
        DataSourceError: If ``folder`` is missing, is not a folder, or may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataSourceError(f"data.path: {printable(str(folder))} {_why_not_listed(folder, error)}.") from error


def not_found(path: Path) -> str:
    """Return what to say of a path that does not exist, with the folder at which a relative path begins."""
    return f"does not exist; check the path{start_of(path)}"


def _why_not_listed(folder: Path, error: OSError) -> str:
    match error:
        case FileNotFoundError():
            return not_found(folder)
        case NotADirectoryError():
            return (
                "must be a folder, got a file; unpack an archive first, read arrays with data.source=npz, or give the "
                "folder that contains the folders of the classes"
            )
    return f"cannot be listed as a folder{start_of(folder)}: {error.strerror}"


def entry_kind(entry: os.DirEntry[str]) -> EntryKind:
    """Return the kind of an entry. A symbolic link has the kind of its target."""
    try:
        # Neither call reads the disk unless the entry is a link, because the listing contains the type.
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError:
        return "broken link"
    return "broken link" if entry.is_symlink() and not os.path.exists(entry.path) else "special file"


def is_hidden(name: str) -> bool:
    """Return whether a name is typical for files of operating systems and programs, such as ``.DS_Store``."""
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def folder_id(folder: Path) -> FolderId:
    """Return the identity of a folder.

    Raises:
        DataSourceError: If the folder no longer exists.
    """
    try:
        status = folder.stat()
    except OSError as error:
        raise DataSourceError(f"data.path: {printable(str(folder))} cannot be found: {error.strerror}.") from error
    return status.st_dev, status.st_ino


def walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str], EntryKind]]:
    """Yield every entry below ``root`` that is not a folder, with its path relative to ``root`` and its kind.

    Links to folders are followed. A link to a folder that contains the link is yielded as a broken link, because
    following it would never end.

    Raises:
        DataSourceError: If a folder cannot be listed.
    """
    # The walk is not recursive, because folders may be nested deeper than the stack of Python allows.
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
    """Return a noun for the kind of a file that is not a regular file, from its ``st_mode``."""
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISDIR, "a folder"))
    return next((name for test, name in kinds if test(mode)), "a device")
