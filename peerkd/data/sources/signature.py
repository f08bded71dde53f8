"""Whether the files of a source are the ones that were read before, without reading them."""

import hashlib
import os
from pathlib import Path

from peerkd.data.sources.folders import entry_kind, list_entries, walk


def signature(path: str | None, *, is_flat: bool = False) -> str | None:
    """Return a SHA-256 over the names, sizes and times of the files at ``path``, None without a path.

    What lies behind symbolic links counts like what lies there itself. Both times count, of modification and of
    status change: the first is restored by ``cp -p``, ``rsync -t`` and ``tar``, the second by nothing.

    A data set that was read once is taken from the store while its signature stays. A touched file is only read
    again, since everything later goes by the content. A path without files has the signature of nothing.

    Args:
        path: A file or a folder.
        is_flat: Whether the source reads a folder's own files alone, and not those of the folders in it.
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
    """Return name and status of each file at or below ``root``, names as the file system has them."""
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
        except OSError:  # It went away since it was listed.
            statuses.append((name, None))
    return statuses
