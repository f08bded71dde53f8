"""The workspace of a store in a local folder, where other processes see each file as soon as it is written."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from peerkd.artifacts.store import check_name
from peerkd.durable import sync_file, sync_folder


@dataclass(frozen=True, slots=True)
class FolderWorkspace:
    """A workspace in a local folder. Its files survive the end of the process and, after ``save``, a power cut.

    See ``Workspace`` for the interface.
    """

    folder: Path
    _inodes: dict[str, int] = field(default_factory=dict)
    """The inodes of the files whose folder entries have been synced, by name.

    A file that has replaced another one has another inode, so its folder entry must be synced again."""

    _folders: set[Path] = field(default_factory=set)
    """The folders whose entries in their parent folders have been synced."""

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        """Sync the files unless they are replaceable; see ``Workspace.save``."""
        for name in names:
            path = self.folder / check_name(name)
            inode = path.stat().st_ino
            if is_replaceable:
                continue
            sync_file(path)
            if self._inodes.get(name) != inode:
                self._sync_names(path)
                self._inodes[name] = inode

    def _sync_names(self, path: Path) -> None:
        sync_folder(path.parent)
        for folder in (path.parent, *path.parent.parents):
            if folder == self.folder.parent or folder in self._folders:
                return
            sync_folder(folder.parent)
            self._folders.add(folder)

    def load(self, name: str) -> bool:
        """Return whether the file exists; see ``Workspace.load``."""
        return (self.folder / check_name(name)).is_file()

    def discard(self, *names: str) -> None:
        """Delete files; see ``Workspace.discard``."""
        for name in names:
            (self.folder / check_name(name)).unlink(missing_ok=True)

    def saved(self, prefix: str) -> Mapping[str, str]:
        """Return the names of all files whose name begins with ``prefix``, each with a version.

        The version of a file is its time of modification with its size. See ``Workspace.saved``.
        """
        versions = {}
        # Path.rglob would fail if another worker deleted a folder meanwhile.
        for folder, _, file_names in os.walk(self.folder / prefix.rpartition("/")[0]):
            for path in (Path(folder, file_name) for file_name in file_names):
                name = path.relative_to(self.folder).as_posix()
                if name.startswith(prefix):
                    with suppress(FileNotFoundError):
                        status = path.stat()
                        versions[name] = f"{status.st_mtime_ns}-{status.st_size}"
        return versions
