"""The interface of a store: a stage works in a workspace, publishes it whole, and others fetch it verified."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from peerkd.artifacts.keys import fingerprint
from peerkd.errors import ArtifactCorruptError

MANIFEST_NAME = "manifest.json"
SCRATCH_NAME = "scratch"
"""Folder of a workspace for what only the making needs: kept between attempts, no part of the artifact."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file of an artifact."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What an artifact consists of. Written last: an artifact without a manifest does not exist."""

    key: str
    files: Mapping[str, FileEntry]
    metadata: Mapping[str, Any]
    """What a reader wants to know without opening a file. JSON values."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of all files."""
        return fingerprint({name: entry.sha256 for name, entry in self.files.items()})

    def to_json(self) -> str:
        """Return the text that ``from_json`` reads."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, *, key: str) -> Self:
        """Read what ``to_json`` wrote for the artifact under ``key``.

        Raises:
            ArtifactCorruptError: If the text is no manifest, or that of another artifact.
        """
        try:
            values = json.loads(text)
            files = {name: FileEntry(**entry) for name, entry in values["files"].items()}
            manifest = cls(key=values["key"], files=files, metadata=values["metadata"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactCorruptError(
                f"The manifest of {key} must be what this program wrote, got {text[:80]!r}."
            ) from error
        if manifest.key != key:
            raise ArtifactCorruptError(f"The manifest of {key} must have its key, got {manifest.key}.")
        return manifest


class ArtifactStore(Protocol):
    """A place for artifacts: a folder here, a bucket elsewhere."""

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""

    def fetch(self, key: str) -> Path:
        """Return a local folder with the artifact's files, each verified against the manifest. Not to be written to.

        Raises:
            ArtifactNotFoundError: If nothing is published under the key.
            ArtifactCorruptError: If a file is not what the manifest says.
        """

    def open_workspace(self, key: str) -> AbstractContextManager[Path]:
        """Lend a local folder to make the artifact in. What an attempt that was cut off left there is still there.

        Raises:
            StoreUnavailableError: If the store cannot be written.
            WorkspaceBusyError: If another process holds the workspace.
        """

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Make the workspace's content, scratch apart, the artifact: all at once, while the workspace is open."""


def describe_folder(folder: Path, *, key: str, metadata: Mapping[str, Any]) -> Manifest:
    """Return the manifest of the files below a folder, each read in full; scratch is left out."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    files = {
        name: FileEntry(num_bytes=(folder / name).stat().st_size, sha256=file_sha256(folder / name))
        for name in names
        if name != MANIFEST_NAME and not name.startswith(f"{SCRATCH_NAME}/")
    }
    return Manifest(key=key, files=files, metadata=metadata)


def verify_folder(folder: Path, manifest: Manifest) -> None:
    """Check every file of the manifest by size and content.

    Raises:
        ArtifactCorruptError: If a file is missing or differs; the message names it.
    """
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactCorruptError(f"{manifest.key}: the file {name} is missing.")
        num_bytes = path.stat().st_size
        if num_bytes != entry.num_bytes:
            raise ArtifactCorruptError(
                f"{manifest.key}: the file {name} must have {entry.num_bytes} bytes, got {num_bytes}."
            )
        if file_sha256(path) != entry.sha256:
            raise ArtifactCorruptError(f"{manifest.key}: the content of {name} is not what its manifest says.")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
