"""A signature of the files of a source, which tells whether they have changed without reading them."""

import hashlib
import os
from pathlib import Path

from peerkd.data.sources.folders import entry_kind, list_entries, walk


def signature(path: str | None, *, is_flat: bool = False) -> str | None:
    """Return a SHA-256 over the names, sizes and times of the files at ``path``; None without a path.

    Symbolic links are followed. Both the time of modification and that of status change count, because ``cp -p``,
    ``rsync -t`` and ``tar`` restore the first, and nothing restores the second.

    As long as its signature stays the same, a data set is taken from the store. If only a time changes, the data set is
    read again and nothing else is repeated, since all later keys depend on the content alone.

    Args:
        path: A file or a folder; one that does not exist has the signature of an empty folder.
        is_flat: Whether the source reads only the files of the folder itself, not those of the folders in it.
    """
    if path is None:
        return None
    root = Path(path).expanduser()
    digest = hashlib.sha256()
    for name, status in sorted(_statuses(root, is_flat=is_flat)):
        times = f"{status.st_mtime_ns}\0{status.st_ctime_ns}" if status else "broken link"
        digest.update(b"%s\0%d\0%s\n" % (name, status.st_size if status else 0, times.encode()))
    return digest.hexdigest()


def _statuses(root: Path, *, is_flat: bool) -> list[tuple[bytes, os.stat_result | None]]:
    """Return name and status of each file at or below ``root``; names are encoded as in the file system."""
    if root.is_file():
        return [(os.fsencode(root.name), root.stat())]
    if not root.is_dir():
        return []
    statuses: list[tuple[bytes, os.stat_result | None]] = []
    entries = ((entry.name, entry, entry_kind(entry)) for entry in list_entries(root)) if is_flat else walk(root)
    for relative_path, entry, kind in entries:
        if kind == "folder":
            continue
        name = os.fsencode(f"{root.name}/{relative_path}")
        try:
            statuses.append((name, entry.stat() if kind != "broken link" else None))
        except OSError:  # It was deleted after it was listed.
            statuses.append((name, None))
    return statuses
