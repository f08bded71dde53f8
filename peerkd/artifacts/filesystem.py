"""A store in a local folder.

``<root>/<key>/`` is a published artifact, ``<root>/<key>.partial/`` the workspace of one in the making. Publishing is
one rename, so that a reader sees an artifact whole or not at all.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerkd.artifacts.store import MANIFEST_NAME, SCRATCH_NAME, ArtifactStore, Manifest, describe_folder, verify_folder
from peerkd.errors import ArtifactNotFoundError, StoreUnavailableError, WorkspaceBusyError

_LOCK_PATIENCE_SECONDS = 5.0
"""A run that was killed takes a moment to let go of its workspace."""


class FilesystemStore:
    """A store in a local folder, made when it is first written to."""

    def __init__(self, root: Path, *, lock_patience_seconds: float = _LOCK_PATIENCE_SECONDS) -> None:
        self._root = root
        self._lock_patience_seconds = lock_patience_seconds

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""
        try:
            text = (self._root / key / MANIFEST_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Manifest.from_json(text, key=key)

    def fetch(self, key: str) -> Path:
        """Return the artifact's folder after verifying it; see ``ArtifactStore.fetch``."""
        manifest = self.find(key)
        if manifest is None:
            raise ArtifactNotFoundError(f"{self._root} has no artifact {key}.")
        verify_folder(self._root / key, manifest)
        return self._root / key

    @contextmanager
    def open_workspace(self, key: str) -> Iterator[Path]:
        """Lend ``<root>/<key>.partial``; see ``ArtifactStore.open_workspace``."""
        workspace = self._workspace(key)
        lock_path = workspace.with_suffix(".lock")
        try:
            lock_path.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_path.open("a")
        except OSError as error:
            raise StoreUnavailableError(f"The folder {self._root} cannot be written: {error.strerror}.") from error
        with lock:
            # The kernel drops the lock with the process, however it ends; the file itself means nothing.
            self._lock(lock.fileno(), key)
            (workspace / SCRATCH_NAME).mkdir(parents=True, exist_ok=True)
            yield workspace

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Write the manifest and rename the workspace; see ``ArtifactStore.publish``."""
        workspace, published = self._workspace(key), self._root / key
        first = self.find(key)
        if first:
            # Another process published while this one waited for the workspace; one key has one content.
            shutil.rmtree(workspace)
            return first
        manifest = describe_folder(workspace, key=key, metadata=metadata)
        (workspace / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
        if published.exists():
            # Without a manifest it is no artifact, only what somebody's interrupted deletion left.
            shutil.rmtree(published)
        workspace.rename(published)
        shutil.rmtree(published / SCRATCH_NAME)
        return manifest

    def _workspace(self, key: str) -> Path:
        return self._root / f"{key}.partial"

    def _lock(self, descriptor: int, key: str) -> None:
        deadline = time.monotonic() + self._lock_patience_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise WorkspaceBusyError(
                        f"Another process is at work on {key} in {self._root}; wait for it or end it."
                    ) from error
                time.sleep(0.1)
            else:
                return


def check_writable(root: Path) -> None:
    """Check that artifacts can be written below ``root``, without leaving anything there.

    Raises:
        ValueError: If they cannot.
    """
    nearest = root.absolute()
    # Not Path.exists, which raises where a folder on the way may not be looked into.
    while not os.path.exists(nearest):
        nearest = nearest.parent
    if not nearest.is_dir():
        raise ValueError(f"output must be a folder that can be written, got {root}: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"output must be a folder that can be written, got {root}: {nearest} is read-only.")


if TYPE_CHECKING:
    _: ArtifactStore = FilesystemStore(Path())
