"""Functions to write files that survive a power cut: both the content of a file and its folder must be synced."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_SYNC_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""The errors of ``fsync`` on file systems that cannot sync a folder, such as CIFS and some FUSE file systems."""


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk, if the file system can sync folders."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _SYNC_UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, unless they exist, and wait until their names are on the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_files(folder: Path, names: Iterable[str]) -> None:
    """Wait until files below a folder, and the entries of the folders above them, have been synced to disk."""
    folders = {folder}
    for path in (folder / name for name in names):
        sync_file(path)
        folders.update(parent for parent in path.parents if parent.is_relative_to(folder))
    for each in folders:
        sync_folder(each)


def replace_whole(partial: Path, path: Path) -> None:
    """Rename a finished file to its final name, so that a power cut leaves either the earlier file or the new one."""
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)
