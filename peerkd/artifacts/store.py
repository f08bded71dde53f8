"""The interface of a store: a stage works in a workspace, publishes it whole, and others fetch it verified."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol, Self

from peerkd.artifacts.keys import fingerprint
from peerkd.errors import ArtifactCorruptError, UnsealedManifestError

MANIFEST_NAME = "manifest.json"
SCRATCH_NAME = "scratch"
"""Folder of a workspace for what only the making needs: kept between attempts, no part of the artifact."""

_OUT_OF_USE: Final = re.compile(r"\.(partial|publishing|damaged-\d+)$")
"""How the last part of a key ends that is not, or no longer, the key of an artifact."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file of an artifact."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What an artifact consists of. Written last: an artifact without a manifest does not exist.

    Its text carries a SHA-256 of its own content, so that no byte of it can change unnoticed.
    """

    key: str
    files: Mapping[str, FileEntry]
    metadata: Mapping[str, Any]
    """What a reader wants to know without opening a file. JSON values."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of all files."""
        return fingerprint({name: entry.sha256 for name, entry in self.files.items()})

    def to_json(self) -> str:
        """Return the text that ``from_json`` reads: the content, and the digest by which it proves itself."""
        content = asdict(self)
        return json.dumps({"digest": _digest(content), **content}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, *, key: str, is_sealed: bool = True) -> Self:
        """Read what ``to_json`` wrote for the artifact under ``key``.

        Args:
            text: The manifest.
            key: Of the artifact.
            is_sealed: Whether the text must have a digest, which those of earlier versions have not.

        Raises:
            UnsealedManifestError: If the text must have a digest and has none.
            ArtifactCorruptError: If the text is not a manifest, does not match its own digest, or belongs to another
                artifact.
        """
        try:
            content = json.loads(text)
            digest = content.pop("digest", None)
            files = {check_name(name): FileEntry(**entry) for name, entry in content["files"].items()}
            manifest = cls(**{**content, "files": files})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArtifactCorruptError(
                f"The manifest of {key} must be what this program wrote, got {text[:80]!r}."
            ) from error
        if digest is None and is_sealed:
            raise UnsealedManifestError(
                f"The manifest of {key} must contain a digest of its content, which earlier versions did not write."
            )
        if digest not in ([_digest(content)] if is_sealed else [None, _digest(content)]):
            raise ArtifactCorruptError(f"The manifest of {key} does not match its own digest: it was changed.")
        if manifest.key != key:
            raise ArtifactCorruptError(f"The manifest of {key} must have its key, got {manifest.key}.")
        return manifest


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the values of a manifest, which is the same before and after they passed through JSON."""
    values = json.loads(json.dumps(content))
    # Unlike a fingerprint of causes, a digest covers whatever metadata may hold, NaN included.
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Workspace(Protocol):
    """Where an artifact is made: a local folder, and the files of it that outlive this machine.

    Names of files are relative, with ``/``. A file that others may load is written under another name and renamed, or
    written once: a store in a folder shows it the moment that it is there.
    """

    @property
    def folder(self) -> Path:
        """The local folder to work in; ``scratch/`` is there from the start."""

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        """Make files of the folder durable: whatever ends this process or its machine, they can be loaded again.

        Threads may save the same file: what it held when the last of them called is what is loaded.

        Args:
            names: Files, relative to the folder.
            is_replaceable: Whether the work can do without them, at worst by doing something again. Then a store on
                this machine's disk does not wait for the disk, and a power cut may take the files.
        """

    def load(self, name: str) -> bool:
        """Bring the saved version of a file into the folder, whoever saved it; return False if there is none."""

    def discard(self, *names: str) -> None:
        """Delete files here and where they were saved; one that is not there is deleted."""

    def saved(self, prefix: str) -> Mapping[str, str]:
        """Return the durable names that begin with ``prefix``, each with a version that changes with its content."""


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

    def verify(self, key: str) -> Manifest:
        """Read every file of an artifact from the store itself, past any cache, and return its manifest.

        Raises:
            ArtifactNotFoundError: If nothing is published under the key.
            ArtifactCorruptError: If a file is not what the manifest says.
        """

    def free_bytes(self) -> int | None:
        """Return how much more can be written; None where nobody knows."""

    def open_workspace(self, key: str, *, shared: bool = False) -> AbstractContextManager[Workspace]:
        """Lend a place to make the artifact in. What an attempt that was cut off had saved can be loaded there.

        Args:
            key: Of the artifact.
            shared: Whether others may hold it at the same time, each of whom says so too.

        Raises:
            StoreUnavailableError: If the store cannot be written.
            WorkspaceBusyError: If another process holds the workspace and does not share it, where a store can tell.
        """

    def keys(self) -> list[str]:
        """Return the sorted keys of all published artifacts, whatever state they are in; those set aside are left out.

        Raises:
            StoreUnavailableError: If the store cannot be read.
        """

    def set_aside(self, key: str) -> str:
        """Move an artifact, or the workspace ``<key>.partial``, to ``<key>.damaged-N``; return that key.

        Nothing is deleted. Afterwards the artifact does not exist, so that the next run makes it again.

        Raises:
            ArtifactNotFoundError: If nothing is kept under the key.
            WorkspaceBusyError: If another process holds the workspace, where a store can tell.
        """

    def seal(self, key: str) -> bool:
        """Check every file of an artifact of an earlier version and give its manifest a digest; return whether it was.

        Raises:
            ArtifactCorruptError: If the manifest has a digest that it does not match, or a file differs.
        """

    def clear_away(self, key: str) -> int:
        """Delete what the making of an artifact left, and return the number of files.

        Nothing is deleted unless the artifact is published and its manifest proves itself, or while somebody works in
        the workspace, where a store can tell. A failure to delete is not an error: the next call tries again.
        """

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Make the workspace's content the artifact: all at once, while the workspace is open in this process.

        The content is what lies in the folder and what anybody saved, scratch apart. If the artifact is there already,
        it stays as it is and its manifest is returned.
        """


@contextmanager
def naming_the_remedy(address: str, key: str) -> Iterator[None]:
    """Add to the message of an ``ArtifactCorruptError`` the command that helps; ``address`` is what the user typed."""
    try:
        yield
    except UnsealedManifestError as error:
        command = shlex.join(["peerkd", "store", "seal", "--store", address])
        raise UnsealedManifestError(
            f"{error} Let '{command}' check the files of all such artifacts and add it, and run again."
        ) from error
    except ArtifactCorruptError as error:
        command = shlex.join(["peerkd", "store", "set-aside", "--store", address, key])
        raise ArtifactCorruptError(
            f"{error} Move it out of the way with '{command}', which deletes nothing, and run again."
        ) from error


def published_keys(manifests: Iterable[str]) -> list[str]:
    """Return the sorted keys of the artifacts whose manifests have these names; what was set aside is left out.

    A file of an artifact may itself be called ``manifest.json``: what lies below a key is no other key.
    """
    keys: set[str] = set()
    for name in sorted(manifests, key=lambda name: name.count("/")):
        key = name.removesuffix(f"/{MANIFEST_NAME}")
        is_in_use = not any(_OUT_OF_USE.search(part) for part in key.split("/"))
        if is_in_use and not any(parent.as_posix() in keys for parent in PurePosixPath(key).parents):
            keys.add(key)
    return sorted(keys)


def read_unsealed(text: bytes, *, key: str) -> Manifest | None:
    """Return the manifest that a text of an earlier version holds; None if the text has a digest.

    Raises:
        ArtifactCorruptError: If the text is not a manifest of this artifact, or does not match its digest.
    """
    try:
        Manifest.from_json(text, key=key)
    except UnsealedManifestError:
        return Manifest.from_json(text, key=key, is_sealed=False)
    return None


def keys_aside(key: str) -> Iterator[str]:
    """Yield the keys under which what lies under a key may be set aside, in the order in which they are tried."""
    return (f"{key}.damaged-{number}" for number in count(1))


def describe_folder(folder: Path, *, key: str, metadata: Mapping[str, Any]) -> Manifest:
    """Return the manifest of the files below a folder, each read in full; scratch is left out."""
    files = {name: describe_file(folder / name) for name in content_names(folder)}
    return Manifest(key=key, files=files, metadata=metadata)


def content_names(folder: Path) -> list[str]:
    """Return the sorted names of the files below a folder that make an artifact."""
    return sorted(
        name
        for name in (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if is_content(name)
    )


def is_content(name: str) -> bool:
    """Return whether a file of a workspace is a part of the artifact: neither scratch nor the manifest itself."""
    return name != MANIFEST_NAME and not name.startswith(f"{SCRATCH_NAME}/")


def describe_file(path: Path) -> FileEntry:
    """Return size and SHA-256 of a file, which is read in full."""
    return FileEntry(num_bytes=path.stat().st_size, sha256=file_sha256(path))


def check_name(name: str) -> str:
    """Return the name of a file, or the key of an artifact, if it stays below the place that it is relative to.

    Raises:
        ValueError: If it is empty, absolute, or has a part that is empty, ``.`` or ``..``.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
        raise ValueError(f"a name in a store must be relative, of parts like 'peers/0a1b', got {name!r}.")
    return name


def verify_folder(folder: Path, manifest: Manifest) -> None:
    """Check every file of the manifest by size and content.

    Raises:
        ArtifactCorruptError: If a file is missing or differs; the message names it.
    """
    for damage in find_damage(folder, manifest).values():
        raise ArtifactCorruptError(damage)


def find_damage(folder: Path, manifest: Manifest) -> Mapping[str, str]:
    """Return the files of the manifest that are missing from a folder or differ, each with a sentence about it."""
    damage = {}
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            damage[name] = f"{manifest.key}: the file {name} is missing."
            continue
        num_bytes = path.stat().st_size
        if num_bytes != entry.num_bytes:
            damage[name] = f"{manifest.key}: the file {name} must have {entry.num_bytes} bytes, got {num_bytes}."
        elif file_sha256(path) != entry.sha256:
            damage[name] = f"{manifest.key}: the content of {name} is not what its manifest says."
    return damage


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
