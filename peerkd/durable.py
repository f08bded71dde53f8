"""Files that survive a power cut: a synced file is on the disk, and its name is once its folder is synced."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_WITHOUT_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""Errors of file systems that cannot sync a folder, such as CIFS and some of FUSE: they keep names in their own way."""


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT_SYNC:
            raise
    finally:
        os.close(descriptor)


def sync_files(folder: Path, names: Iterable[str]) -> None:
    """Wait until files below a folder are on the disk, and the names of all folders from there to the files."""
    folders = {folder}
    for path in (folder / name for name in names):
        sync_file(path)
        folders.update(parent for parent in path.parents if parent.is_relative_to(folder))
    for each in folders:
        sync_folder(each)


def replace_whole(partial: Path, path: Path) -> None:
    """Give a finished file its real name, such that a power cut leaves the earlier file or the new one."""
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)
