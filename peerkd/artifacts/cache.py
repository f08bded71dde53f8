"""Artifacts of a distant store on this machine: each fetched once, whoever wants it.

``<folder>/<key>/<fingerprint>/`` is whole or not there. It may be deleted at any time that nobody reads it.
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
"""Times that a file is downloaded which comes damaged."""


def cache_folder(address: str, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for the artifacts of the store at an address, below the one that the environment names.

    That is ``PEERKD_CACHE_FOLDER``, else ``peerkd`` in the user's cache folder.
    """
    named = environment.get("PEERKD_CACHE_FOLDER")
    caches = environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    store = hashlib.sha256(address.encode()).hexdigest()[:16]
    return Path(named or Path(caches, "peerkd"), store)


def fetch_once(folder: Path, manifest: Manifest, *, download: Callable[[Path, Sequence[str]], None]) -> Path:
    """Return the local folder of an artifact, each file verified.

    Of several processes that want it at once, one downloads and the others wait for it.

    Args:
        folder: Where the artifacts of the store are kept.
        manifest: Of the artifact.
        download: Brings files of the artifact into a folder. Those that come damaged are asked for again.

    Raises:
        ArtifactCorruptError: If what is downloaded is not what the manifest says, whenever it is asked for.
        StoreUnavailableError: If the folder cannot be written, or holds no more.
    """
    try:
        return _fetch_once(folder / manifest.key / manifest.fingerprint[:32], manifest, download=download)
    except OSError as error:
        raise StoreUnavailableError(
            f"The folder {folder} cannot be used ({error.strerror}): PEERKD_CACHE_FOLDER may name another."
        ) from error


def download_whole(folder: Path, manifest: Manifest, *, download: Callable[[Path, Sequence[str]], None]) -> None:
    """Bring the files of an artifact into an empty folder; see ``fetch_once``."""
    names: Sequence[str] = list(manifest.files)
    for is_last in [False] * (_NUM_TRIES - 1) + [True]:
        try:
            download(folder, names)
        except ArtifactCorruptError:
            if is_last:
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
        # What a killed process left under such a name is nobody's: the lock is ours.
        for left in kept.parent.glob(f"{kept.name}.new*"):
            shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix=f"{kept.name}.new", dir=kept.parent))
        try:
            download_whole(new, manifest, download=download)
            new.rename(kept)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return kept
