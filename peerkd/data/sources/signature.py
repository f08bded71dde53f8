"""A signature of the files of a source, which detects changes without reading the files."""

import hashlib
import os
from pathlib import Path

from peerkd.data.sources.folders import entry_kind, list_entries, walk


def signature(path: str | None, *, is_flat: bool = False) -> str | None:
    """Return a SHA-256 of the names, sizes and times of the files at ``path``, or None if ``path`` is None.

    Symbolic links are followed. The times of a file are the time of its last modification and the time of its last
    status change (``mtime`` and ``ctime``). Both are needed, because ``cp -p``, ``rsync -t`` and ``tar`` set ``mtime``
    to its earlier value, but cannot set ``ctime``.

    A data set is taken from the store as long as its signature stays the same. If only a time changes, the data set is
    read again but no later step is repeated, because the keys of later steps depend on its content alone.

    Args:
        path: A file or a folder. A path that does not exist has the signature of an empty folder.
        is_flat: Whether the source reads only the files directly in the folder, not those in its subfolders.
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
    """Return the name and the status of each file at or below ``root``.

    A name has the encoding of the file system. The status is None for a broken link and for a file that was deleted
    meanwhile.
    """
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
        except OSError:  # The file was deleted after it was listed.
            statuses.append((name, None))
    return statuses
