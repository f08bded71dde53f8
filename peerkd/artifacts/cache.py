"""A cache of a remote store's artifacts on this machine. Each artifact is downloaded once for all processes.

``<folder>/<key>/<fingerprint>/`` contains all files of an artifact or does not exist. It may be deleted whenever no
process reads it.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerkd.artifacts.store import Manifest, find_damage, verify_folder
from peerkd.errors import ArtifactCorruptError, StoreUnavailableError

_NUM_TRIES: Final = 10
"""The maximum number of downloads of a file that arrives damaged."""


def cache_folder(address: str, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder on this machine in which artifacts of the store at ``address`` are cached.

    It is below ``PEERKD_CACHE_FOLDER`` if that is set, else below ``peerkd`` in the user's cache folder.
    """
    named = environment.get("PEERKD_CACHE_FOLDER")
    caches = environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    store = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Path(named or Path(caches, "peerkd"), store)


def fetch_once(folder: Path, manifest: Manifest, *, download: Callable[[Path, Sequence[str]], None]) -> Path:
    """Return the local folder of an artifact whose files have been verified; download it first if it is not cached.

    If several processes call this at once, one downloads the artifact and the others wait.

    Args:
        folder: The cache folder of the store.
        manifest: The manifest of the artifact.
        download: Downloads the named files of the artifact into a folder. It is called again for damaged files.

    Raises:
        ArtifactCorruptError: If a file differs from the manifest each time that it is downloaded.
        StoreUnavailableError: If the folder cannot be written, or its disk is full.
    """
    try:
        return _fetch_once(folder / manifest.key / manifest.fingerprint[:32], manifest, download=download)
    except OSError as error:
        raise StoreUnavailableError(
            f"The folder {folder} cannot be used ({error.strerror}): PEERKD_CACHE_FOLDER may name another."
        ) from error


def download_whole(folder: Path, manifest: Manifest, *, download: Callable[[Path, Sequence[str]], None]) -> None:
    """Download the files of an artifact into an empty folder, and verify them. Damaged files are downloaded again.

    Args:
        folder: The empty folder.
        manifest: The manifest of the artifact.
        download: Downloads the named files of the artifact into a folder.

    Raises:
        ArtifactCorruptError: If a file differs from the manifest each time that it is downloaded.
    """
    names: Sequence[str] = list(manifest.files)
    for attempt in range(1, _NUM_TRIES + 1):
        try:
            download(folder, names)
        except ArtifactCorruptError:
            if attempt == _NUM_TRIES:
                raise
        damage = find_damage(folder, manifest)
        if not damage:
            return
        names = list(damage)
    raise ArtifactCorruptError(damage[names[0]])


def _fetch_once(kept: Path, manifest: Manifest, *, download: Callable[[Path, Sequence[str]], None]) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with kept.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        if kept.exists():
            with suppress(ArtifactCorruptError):
                verify_folder(kept, manifest)
                return kept
            shutil.rmtree(kept)
        # This process holds the lock, so these folders are left from processes that were killed.
        for left in kept.parent.glob(f"{kept.name}.new*"):
            shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix=f"{kept.name}.new", dir=kept.parent))
        try:
            download_whole(new, manifest, download=download)
            new.rename(kept)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return kept
