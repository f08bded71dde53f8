"""A store in a local folder.

``<root>/<key>/`` is a published artifact, ``<root>/<key>.partial/`` the workspace of one in the making. Publishing is
one rename, so that a reader sees an artifact whole or not at all. Where others share the workspace, what is renamed is
a copy (``<root>/<key>.publishing/``): they may be writing into the workspace still, and keep it until the last leaves.
Files and folders are synced before the rename, and the folder above after it: what was published survives a power cut.
"""

import errno
import fcntl
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peerkd.artifacts.store import (
    MANIFEST_NAME,
    SCRATCH_NAME,
    ArtifactStore,
    Manifest,
    Workspace,
    check_name,
    content_names,
    describe_folder,
    keys_aside,
    naming_the_remedy,
    published_keys,
    read_unsealed,
    verify_folder,
)
from peerkd.durable import replace_whole, sync_file, sync_files, sync_folder
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError, StoreUnavailableError, WorkspaceBusyError
from peerkd.system_errors import naming_place, translate

_log = logging.getLogger("peerkd")

_LOCK_PATIENCE_SECONDS = 5.0
"""A run that was killed takes a moment to let go of its workspace."""

_WITHOUT_LOCKS: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""What ``flock`` fails with on a file system that has none."""


class FilesystemStore:
    """A store in a local folder, made when it is first written to."""

    def __init__(
        self,
        root: Path,
        *,
        lock_patience_seconds: float = _LOCK_PATIENCE_SECONDS,
        tell: Callable[[str], None] = _log.warning,
    ) -> None:
        self._root, self._tell = root, tell
        self._lock_patience_seconds = lock_patience_seconds
        self._shared: dict[str, bool] = {}

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""
        text = self._manifest_text(key)
        # A power cut may leave the name of a file without its content. There is nothing to refuse: it is made again.
        return None if text is None or not _is_json(text) else self._manifest(key, text)

    def fetch(self, key: str) -> Path:
        """Return the artifact's folder after verifying it; see ``ArtifactStore.fetch``."""
        self.verify(key)
        return self._root / key

    def verify(self, key: str) -> Manifest:
        """Check every file of an artifact; see ``ArtifactStore.verify``."""
        text = self._manifest_text(key)
        if text is None:
            raise ArtifactNotFoundError(f"{self._root} has no artifact {key}.")
        manifest = self._manifest(key, text)
        with naming_the_remedy(str(self._root), key):
            verify_folder(self._root / key, manifest)
        return manifest

    def keys(self) -> list[str]:
        """Return the keys of all published artifacts; see ``ArtifactStore.keys``."""
        return published_keys(path.relative_to(self._root).as_posix() for path in self._root.rglob(MANIFEST_NAME))

    def set_aside(self, key: str) -> str:
        """Rename the folder of an artifact or of its workspace; see ``ArtifactStore.set_aside``."""
        folder = self._root / check_name(key)
        if not folder.is_dir():
            raise ArtifactNotFoundError(f"{self._root} has no artifact {key}.")
        with folder.with_name(f"{folder.name.removesuffix('.partial')}.lock").open("a") as lock:
            self._lock(lock.fileno(), key, fcntl.LOCK_EX)
            return self._move_aside(key)

    def seal(self, key: str) -> bool:
        """Give a manifest of an earlier version a digest; see ``ArtifactStore.seal``."""
        path = self._root / check_name(key) / MANIFEST_NAME
        with naming_the_remedy(str(self._root), key):
            manifest = read_unsealed(path.read_bytes(), key=key)
            if manifest is None:
                return False
            verify_folder(path.parent, manifest)
        partial = path.with_suffix(".sealing")
        partial.write_text(manifest.to_json(), encoding="utf-8")
        replace_whole(partial, path)
        return True

    def clear_away(self, key: str) -> int:
        """Delete the workspace that a killed worker left; see ``ArtifactStore.clear_away``."""
        workspace = self._workspace(check_name(key))
        if not workspace.is_dir():
            return 0
        num_files = sum(path.is_file() for path in workspace.rglob("*"))
        # A file system without locks cannot tell whether somebody is at work here.
        with suppress(OSError), workspace.with_suffix(".lock").open("a") as lock:
            self._leave(lock.fileno(), key)
        return 0 if workspace.exists() else num_files

    def free_bytes(self) -> int | None:
        """Return what this user may still write on the disk of the folder, or of the place where it will be."""
        return shutil.disk_usage(_nearest(self._root)).free

    @contextmanager
    def open_workspace(self, key: str, *, shared: bool = False) -> Iterator[Workspace]:
        """Lend ``<root>/<key>.partial``; see ``ArtifactStore.open_workspace``."""
        workspace = self._workspace(check_name(key))
        lock_path = workspace.with_suffix(".lock")
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_path.open("a")
        except OSError as error:
            refusal = translate(error)
            if isinstance(refusal, ValueError):
                raise refusal from error
            raise StoreUnavailableError(f"The folder {self._root} cannot be written: {error.strerror}.") from error
        with lock:
            # The kernel drops the lock with the process, however it ends; the file itself means nothing.
            self._lock(lock.fileno(), key, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            self._shared[key] = shared
            try:
                with naming_place(workspace):
                    self._set_aside_unreadable(key)
                    (workspace / SCRATCH_NAME).mkdir(parents=True, exist_ok=True)
                    yield FolderWorkspace(workspace)
            finally:
                self._shared.pop(key, None)
                if shared:
                    self._leave(lock.fileno(), key)

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Write the manifest and rename the workspace, or a copy of a shared one; see ``ArtifactStore.publish``."""
        workspace, published = self._workspace(key), self._root / key
        if not self._shared.get(key):
            return self._publish_folder(workspace, key, metadata)
        with published.with_suffix(".publish-lock").open("a") as lock:
            # Two sharers may publish at once: the second finds the first one's artifact.
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            copy = self._root / f"{key}.publishing"
            shutil.rmtree(copy, ignore_errors=True)
            (copy / SCRATCH_NAME).mkdir(parents=True)
            for name in content_names(workspace):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                # What is gone since was on its way to its real name.
                with suppress(FileNotFoundError):
                    shutil.copyfile(workspace / name, copy / name)
            return self._publish_folder(copy, key, metadata)

    def _publish_folder(self, folder: Path, key: str, metadata: Mapping[str, Any]) -> Manifest:
        published = self._root / key
        first = self.find(key)
        if first:
            # Another process published while this one waited for the workspace; one key has one content.
            shutil.rmtree(folder)
            return first
        manifest = describe_folder(folder, key=key, metadata=metadata)
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        sync_files(folder, [*manifest.files, MANIFEST_NAME])
        if published.exists():
            # Without a manifest it is no artifact; what made it lose its manifest is not known, so nothing is deleted.
            self._move_aside(key)
        folder.rename(published)
        sync_folder(published.parent)
        shutil.rmtree(published / SCRATCH_NAME)
        return manifest

    def _move_aside(self, key: str) -> str:
        target = next(name for name in keys_aside(key) if not (self._root / name).exists())
        (self._root / key).rename(self._root / target)
        return target

    def _leave(self, descriptor: int, key: str) -> None:
        """Clear away a shared workspace, if the artifact is there and nobody else is at work on it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with suppress(ArtifactCorruptError):
            if self.find(key):
                shutil.rmtree(self._workspace(key), ignore_errors=True)

    def _set_aside_unreadable(self, key: str) -> None:
        """Make room for an artifact whose manifest a power cut has emptied; its files are kept beside it."""
        text = self._manifest_text(key)
        if text is None or _is_json(text):
            return
        # Another worker of the stage may have just done so.
        with suppress(FileNotFoundError):
            target = self._move_aside(key)
            self._tell(
                f"The manifest of {key} in {self._root} is cut off, as by a power cut: the artifact is now {target}, "
                "and is made again."
            )

    def _manifest_text(self, key: str) -> bytes | None:
        try:
            return (self._root / check_name(key) / MANIFEST_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _manifest(self, key: str, text: bytes) -> Manifest:
        with naming_the_remedy(str(self._root), key):
            return Manifest.from_json(text, key=key)

    def _workspace(self, key: str) -> Path:
        return self._root / f"{key}.partial"

    def _lock(self, descriptor: int, key: str, kind: int) -> None:
        deadline = time.monotonic() + self._lock_patience_seconds
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise WorkspaceBusyError(
                        f"Another process is at work on {key} in {self._root}; wait for it or end it."
                    ) from error
                time.sleep(0.1)
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    raise
                raise ValueError(
                    f"The file system of {self._root} has no locks (flock: {error.strerror}), without which two runs "
                    "could write the same artifact: choose a folder on a disk of this machine, or have the file system "
                    "mounted with locks (Lustre: the option flock; NFS: a lock daemon)."
                ) from error
            else:
                return


@dataclass(frozen=True, slots=True)
class FolderWorkspace:
    """A workspace whose files outlive this process as they are, and a power cut once they are saved."""

    folder: Path
    _inodes: dict[str, int] = field(default_factory=dict)
    """Of the files whose names are on the disk: a file that took the place of another has another inode."""

    _folders: set[Path] = field(default_factory=set)
    """Folders whose own names are on the disk."""

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        """Wait until the files are on the disk, unless they are replaceable; see ``Workspace.save``."""
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
        """Return whether the file is there; see ``Workspace.load``."""
        return (self.folder / check_name(name)).is_file()

    def discard(self, *names: str) -> None:
        """Delete files; see ``Workspace.discard``."""
        for name in names:
            (self.folder / check_name(name)).unlink(missing_ok=True)

    def saved(self, prefix: str) -> Mapping[str, str]:
        """Return all names that begin with ``prefix``; see ``Workspace.saved``."""
        versions = {}
        # Not rglob, which fails where another worker deletes a folder while this one looks.
        for folder, _, file_names in os.walk(self.folder / prefix.rpartition("/")[0]):
            for path in (Path(folder, file_name) for file_name in file_names):
                name = path.relative_to(self.folder).as_posix()
                if name.startswith(prefix):
                    with suppress(FileNotFoundError):
                        status = path.stat()
                        versions[name] = f"{status.st_mtime_ns}-{status.st_size}"
        return versions


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _nearest(path: Path) -> Path:
    """Return the last part of the way to a file that is there."""
    nearest = path.absolute()
    # Not Path.exists, which raises where a folder on the way may not be looked into.
    while not os.path.exists(nearest):
        nearest = nearest.parent
    return nearest


def check_writable(root: Path) -> None:
    """Check that artifacts can be written below ``root``, without leaving anything there.

    Raises:
        ValueError: If they cannot.
    """
    nearest = _nearest(root)
    if not nearest.is_dir():
        raise ValueError(f"output must be a folder that can be written, got {root}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"output must be a folder that can be written, got {root}: {nearest} is read-only.")
    try:
        # Some file systems, such as /proc, take no file whatever their permissions say.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(
            f"output must be a folder that can be written, got {root}: {nearest} takes no file ({error.strerror})."
        ) from error


if TYPE_CHECKING:
    _: ArtifactStore = FilesystemStore(Path())
