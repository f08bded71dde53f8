"""Files that survive a power cut: a synced file is on the disk, and its name is once its folder is synced."""

import errno
import os
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


def sync_tree(folder: Path) -> None:
    """Wait until everything below a folder is on the disk, and the names in the folder itself."""
    for below, _, file_names in os.walk(folder, topdown=False):
        for file_name in file_names:
            sync_file(Path(below, file_name))
        sync_folder(Path(below))


def replace_whole(partial: Path, path: Path) -> None:
    """Give a finished file its real name, such that a power cut leaves the earlier file or the new one."""
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)
