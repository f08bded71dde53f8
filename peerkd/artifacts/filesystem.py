"""A store in a local folder.

``<root>/<key>/`` is a published artifact, and ``<root>/<key>.partial/`` is the workspace of an unfinished one.
Publishing renames the workspace, so readers see all of an artifact or nothing. A shared workspace is first copied to
``<root>/<key>.publishing/``, because other processes may still write to it, and the copy is renamed. The last process
that closes a shared workspace deletes it. Files and folders are synced before the rename, and the parent folder after
it, so a published artifact survives a power cut.
"""

import errno
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from peerkd.artifacts.filesystem_workspace import FolderWorkspace
from peerkd.artifacts.store import (
    MANIFEST_NAME,
    SCRATCH_NAME,
    ArtifactStore,
    Manifest,
    Workspace,
    add_remedy_to_errors,
    check_name,
    content_names,
    describe_folder,
    keys_for_damaged,
    published_keys,
    verify_folder,
)
from peerkd.durable import make_folder, sync_files, sync_folder
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError, StoreUnavailableError, WorkspaceBusyError
from peerkd.retry import Limit, Retries
from peerkd.system_errors import add_path_to_errors, translate

_log = logging.getLogger("peerkd")

_LOCK_WAIT_SECONDS: Final = 5.0
"""The time to wait for a locked workspace. The lock of a run that was killed takes a moment to disappear."""
_LOCK_POLL_SECONDS: Final = 0.1

_LOCKS_UNSUPPORTED: Final = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
"""The error numbers of ``flock`` on a file system that does not support locks."""


class FilesystemStore:
    """A store in a local folder, which is created by the first write."""

    def __init__(
        self,
        root: Path,
        *,
        lock_wait_seconds: float = _LOCK_WAIT_SECONDS,
        notify: Callable[[str], None] = _log.warning,
    ) -> None:
        self._root, self._notify = root, notify
        self._lock_wait_seconds = lock_wait_seconds
        self._shared: set[str] = set()
        """The keys of the workspaces that this store has opened with ``shared=True``."""

    @property
    def root(self) -> Path:
        """The folder of the store."""
        return self._root

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""
        text = self._manifest_text(key)
        # A power cut may leave a file without its content. Such an artifact counts as missing and is computed again.
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
        with add_remedy_to_errors(str(self._root), key):
            verify_folder(self._root / key, manifest)
        return manifest

    def keys(self) -> list[str]:
        """Return the keys of all published artifacts; see ``ArtifactStore.keys``."""
        return published_keys(path.relative_to(self._root).as_posix() for path in self._root.rglob(MANIFEST_NAME))

    def set_aside(self, key: str) -> str:
        """Rename the folder of an artifact or a workspace to ``<key>.damaged-N``, and return the new key.

        See ``ArtifactStore.set_aside`` for the errors.
        """
        folder = self._root / check_name(key)
        if not folder.is_dir():
            raise ArtifactNotFoundError(f"{self._root} has no artifact {key}.")
        with folder.with_name(f"{folder.name.removesuffix('.partial')}.lock").open("a") as lock:
            self._lock(lock.fileno(), key, fcntl.LOCK_EX)
            return self._move_aside(key)

    def clear_away(self, key: str) -> int:
        """Delete the workspace of a published artifact, and return the number of deleted files.

        See ``ArtifactStore.clear_away`` for the conditions.
        """
        workspace = self._workspace(check_name(key))
        if not workspace.is_dir():
            return 0
        num_files = sum(path.is_file() for path in workspace.rglob("*"))
        # On a file system without locks the workspace is kept, because another process may be using it.
        with suppress(OSError), workspace.with_suffix(".lock").open("a") as lock:
            self._delete_unused_workspace(lock.fileno(), key)
        return 0 if workspace.exists() else num_files

    def free_bytes(self) -> int | None:
        """Return the disk space that is left for this user where the folder is, or would be created."""
        return shutil.disk_usage(_nearest(self._root)).free

    @contextmanager
    def open_workspace(self, key: str, *, shared: bool = False) -> Iterator[Workspace]:
        """Open ``<root>/<key>.partial``; see ``ArtifactStore.open_workspace``."""
        workspace = self._workspace(check_name(key))
        lock_path = workspace.with_suffix(".lock")
        try:
            make_folder(lock_path.parent)
            lock = lock_path.open("a")
        except OSError as error:
            refusal = translate(error)
            if isinstance(refusal, ValueError):
                raise refusal from error
            raise StoreUnavailableError(f"The folder {self._root} cannot be written: {error.strerror}.") from error
        with lock:
            # The kernel releases the lock however the process ends. The existence of the file itself has no meaning.
            self._lock(lock.fileno(), key, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if shared:
                self._shared.add(key)
            try:
                with add_path_to_errors(workspace):
                    self._set_aside_truncated(key)
                    (workspace / SCRATCH_NAME).mkdir(parents=True, exist_ok=True)
                    yield FolderWorkspace(workspace)
            finally:
                if shared:
                    self._shared.discard(key)
                    self._delete_unused_workspace(lock.fileno(), key)

    @contextmanager
    def read_workspace(self, key: str, *, is_chosen: Callable[[str], bool]) -> Iterator[Mapping[str, Path]]:
        """Return the paths of the files themselves; see ``ArtifactStore.read_workspace``."""
        workspace = self._workspace(check_name(key))
        names = FolderWorkspace(workspace).saved(f"{SCRATCH_NAME}/")
        yield {name: workspace / name for name in sorted(names) if is_chosen(name)}

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Write the manifest into the workspace, rename the workspace to ``<root>/<key>``, and return the manifest.

        A shared workspace stays where it is, and a copy of it is published. See ``ArtifactStore.publish``.
        """
        workspace, published = self._workspace(key), self._root / key
        if key not in self._shared:
            return self._publish_folder(workspace, key, metadata)
        with published.with_suffix(".publish-lock").open("a") as lock:
            # If two processes publish at once, the second finds the artifact of the first.
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
            copy = self._root / f"{key}.publishing"
            shutil.rmtree(copy, ignore_errors=True)
            (copy / SCRATCH_NAME).mkdir(parents=True)
            for name in content_names(workspace):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                # A file that no longer exists had a temporary name and has been renamed.
                with suppress(FileNotFoundError):
                    shutil.copyfile(workspace / name, copy / name)
            return self._publish_folder(copy, key, metadata)

    def _publish_folder(self, folder: Path, key: str, metadata: Mapping[str, Any]) -> Manifest:
        published = self._root / key
        first = self.find(key)
        if first:
            # Another process published while this one waited for the workspace. That artifact is kept.
            shutil.rmtree(folder)
            return first
        manifest = describe_folder(folder, key=key, metadata=metadata)
        (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        sync_files(folder, [*manifest.files, MANIFEST_NAME])
        if published.exists():
            # A folder without an intact manifest is no artifact, but its files may still be useful, so none is deleted.
            self._move_aside(key)
        folder.rename(published)
        sync_folder(published.parent)
        shutil.rmtree(published / SCRATCH_NAME)
        return manifest

    def _move_aside(self, key: str) -> str:
        target = next(name for name in keys_for_damaged(key) if not (self._root / name).exists())
        (self._root / key).rename(self._root / target)
        return target

    def _delete_unused_workspace(self, descriptor: int, key: str) -> None:
        """Delete a workspace if the artifact is published and no other process has the workspace open.

        Args:
            descriptor: The descriptor of the open file on which processes lock the workspace.
            key: The key of the artifact.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        with suppress(ArtifactCorruptError):
            if self.find(key):
                shutil.rmtree(self._workspace(key), ignore_errors=True)

    def _set_aside_truncated(self, key: str) -> None:
        """Rename the folder of an artifact with a truncated manifest, so that the artifact can be computed again."""
        text = self._manifest_text(key)
        if text is None or _is_json(text):
            return
        # Another worker of the stage may have renamed it a moment before.
        with suppress(FileNotFoundError):
            target = self._move_aside(key)
            self._notify(
                f"The manifest of {key} in {self._root} is truncated, as after a power cut: the artifact was moved to "
                f"{target} and will be made again."
            )

    def _manifest_text(self, key: str) -> bytes | None:
        try:
            return (self._root / check_name(key) / MANIFEST_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _manifest(self, key: str, text: bytes) -> Manifest:
        with add_remedy_to_errors(str(self._root), key):
            return Manifest.from_json(text, key=key)

    def _workspace(self, key: str) -> Path:
        return self._root / f"{key}.partial"

    def _lock(self, descriptor: int, key: str, kind: int) -> None:
        busy = f"Another process is at work on {key} in {self._root}; wait for it or end it."
        limit = Limit(seconds=self._lock_wait_seconds, final_error=lambda _: WorkspaceBusyError(busy))
        retries = Retries(
            (BlockingIOError,),
            lambda error, has_answered: limit,
            first_wait_seconds=_LOCK_POLL_SECONDS,
            longest_wait_seconds=_LOCK_POLL_SECONDS,
        )
        try:
            retries.call(lambda: fcntl.flock(descriptor, kind | fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in _LOCKS_UNSUPPORTED:
                raise
            raise ValueError(
                f"The file system of {self._root} has no locks (flock: {error.strerror}), without which two runs could "
                "write the same artifact: choose a folder on a disk of this machine, or have the file system mounted "
                "with locks (Lustre: the option flock; NFS: a lock daemon)."
            ) from error


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _nearest(path: Path) -> Path:
    """Return the path itself if it exists, else its nearest existing parent."""
    nearest = path.absolute()
    # Path.exists would raise if the permissions of a parent folder forbid access.
    while not os.path.exists(nearest):
        nearest = nearest.parent
    return nearest


def check_writable(root: Path, *, field: str = "output") -> None:
    """Check that files can be written below ``root``. The file that is written for this check is deleted.

    Args:
        root: The folder, which need not exist.
        field: The name of the setting, for messages.

    Raises:
        ValueError: If ``root`` is not a folder, or cannot be written.
    """
    nearest = _nearest(root)
    if not nearest.is_dir():
        raise ValueError(f"{field} must be a folder that can be written, got {root}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{field} must be a folder that can be written, got {root}: {nearest} is read-only.")
    try:
        # Some file systems, such as /proc, accept no files although their permissions allow them.
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(
            f"{field} must be a folder that can be written, got {root}: {nearest} accepts no files ({error.strerror})."
        ) from error


if TYPE_CHECKING:
    _: ArtifactStore = FilesystemStore(Path())
