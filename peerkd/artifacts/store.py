"""The interface of an artifact store. A stage works in a workspace and publishes an artifact, which others fetch."""

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol, Self

from peerkd.artifacts.keys import fingerprint
from peerkd.errors import ArtifactCorruptError

MANIFEST_NAME = "manifest.json"
SCRATCH_NAME = "scratch"
"""The folder of a workspace for files that are needed only while the artifact is computed.

It is kept between attempts, and is not part of the artifact."""

_NO_ARTIFACT: Final = re.compile(r"\.(partial|publishing|damaged-\d+)$")
"""The pattern of the endings of folder names, for folders with a workspace or with a damaged artifact that was
renamed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """The size and the SHA-256 of one file of an artifact."""

    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The list of an artifact's files, which is written last: an artifact exists once it has a manifest.

    The text of a manifest contains a SHA-256 of its own values, so no value can change unnoticed.
    """

    key: str
    files: Mapping[str, FileEntry]
    metadata: Mapping[str, Any]
    """A description of the content as JSON values, which can be read without fetching the files."""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the names and contents of all files."""
        return fingerprint({name: entry.sha256 for name, entry in self.files.items()})

    def to_json(self) -> str:
        """Return the text that ``from_json`` reads: the values and their digest."""
        content = asdict(self)
        return json.dumps({"digest": _digest(content), **content}, indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, *, key: str) -> Self:
        """Return the manifest that ``to_json`` wrote for the artifact ``key``.

        Raises:
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
        if digest != _digest(content):
            raise ArtifactCorruptError(f"The manifest of {key} does not match its own digest: it was changed.")
        if manifest.key != key:
            raise ArtifactCorruptError(f"The manifest of {key} must have its key, got {manifest.key}.")
        return manifest


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the values of a manifest. A round trip of the values through JSON does not change it."""
    values = json.loads(json.dumps(content))
    # Unlike ``fingerprint``, this accepts any metadata, NaN included.
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Workspace(Protocol):
    """The place where an artifact is computed: a local folder, and saved files, which survive the loss of this machine.

    Names of files are relative to the folder, with ``/``. In a local store, other workers see a file while it is being
    written. A file that they may load must therefore be written under another name first, and then renamed.
    """

    @property
    def folder(self) -> Path:
        """The local folder in which the stage works. It contains a folder ``scratch/`` from the start."""

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        """Save files of the folder, so that they can be loaded after this process or its machine has ended.

        Several threads may save the same file. ``load`` returns the content that the file had at the last call of
        ``save``.

        Args:
            names: Names of the files, relative to the folder.
            is_replaceable: Whether the work that made the files can simply be repeated. If so, a local store does not
                sync them, and they may be lost in a power cut.
        """

    def load(self, name: str) -> bool:
        """Copy a file that any worker has saved into the folder. Return whether a saved file with this name exists."""

    def discard(self, *names: str) -> None:
        """Delete files from the folder and their saved versions; a file that does not exist is no error."""

    def saved(self, prefix: str) -> Mapping[str, str]:
        """Return the names of all saved files whose name begins with ``prefix``, each with a version.

        The version of a file changes whenever its content changes.
        """


class ArtifactStore(Protocol):
    """A store of artifacts, in a local folder or in a bucket."""

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""

    def fetch(self, key: str) -> Path:
        """Return a local folder with the artifact's files, each verified against the manifest.

        Callers must not write to the folder.

        Raises:
            ArtifactNotFoundError: If no artifact is published under the key.
            ArtifactCorruptError: If a file differs from the manifest.
        """

    def verify(self, key: str) -> Manifest:
        """Verify every file of an artifact in the store itself, not in a cache, and return the manifest.

        Raises:
            ArtifactNotFoundError: If no artifact is published under the key.
            ArtifactCorruptError: If a file differs from the manifest.
        """

    def free_bytes(self) -> int | None:
        """Return the free space of the store, or None if it is not known."""

    def open_workspace(self, key: str, *, shared: bool = False) -> AbstractContextManager[Workspace]:
        """Open the workspace of an artifact. Files that an interrupted attempt saved can be loaded there.

        Args:
            key: The key of the artifact.
            shared: Whether other processes may open the workspace at the same time. All of them must pass True.

        Raises:
            StoreUnavailableError: If the store cannot be written.
            WorkspaceBusyError: If another process has the workspace open without sharing it. A bucket has no locks
                and cannot detect this.
        """

    def keys(self) -> list[str]:
        """Return the sorted keys of all published artifacts, without those that were set aside.

        An artifact with damaged files is included as long as nobody has set it aside.

        Raises:
            StoreUnavailableError: If the store cannot be read.
        """

    def set_aside(self, key: str) -> str:
        """Rename a damaged artifact or workspace to ``<key>.damaged-N``, so that the next run computes it again.

        Nothing is deleted. A workspace is renamed if the key is ``<key>.partial``.

        Returns:
            The new key.

        Raises:
            ArtifactNotFoundError: If the key has neither an artifact nor a workspace.
            WorkspaceBusyError: If another process has the workspace open. A bucket cannot detect this.
        """

    def clear_away(self, key: str) -> int:
        """Delete the files that workers left in the workspace of an artifact, and return how many were deleted.

        Nothing is deleted unless the artifact is published and its manifest is intact. In a store with locks, nothing
        is deleted while another process has the workspace open. A failure to delete is not an error, because the next
        call tries again.
        """

    def read_workspace(
        self, key: str, *, is_chosen: Callable[[str], bool]
    ) -> AbstractContextManager[Mapping[str, Path]]:
        """Return the paths of saved files of a workspace by name, while other processes may be at work in it.

        The workspace is neither created nor locked. A file may change while it is read, and may be incomplete at its
        end.

        Args:
            key: The key of the artifact.
            is_chosen: A function of the name of a file below ``scratch/``, which returns whether the file is wanted.
        """

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Publish the content of a workspace that is open in this process; readers see all of it or nothing.

        The content consists of the files in the folder and the files that any worker has saved, without ``scratch/``.
        If the artifact exists already, it stays as it is and its manifest is returned.
        """


@contextmanager
def add_remedy_to_errors(address: str, key: str) -> Iterator[None]:
    """Add a remedy to the message of each ``ArtifactCorruptError`` raised in the ``with`` block.

    The remedy is the command that sets the damaged artifact aside.
    """
    try:
        yield
    except ArtifactCorruptError as error:
        command = shlex.join(["peerkd", "store", "set-aside", "--store", address, key])
        raise ArtifactCorruptError(
            f"{error} Move it out of the way with '{command}', which deletes nothing, and run again."
        ) from error


def published_keys(manifests: Iterable[str]) -> list[str]:
    """Return the sorted keys of artifacts, given the names of all files called ``manifest.json`` in the store.

    Artifacts that were set aside are omitted. A file of an artifact may itself be called ``manifest.json``, so names
    below a key do not count as keys.
    """
    keys: set[str] = set()
    for name in sorted(manifests, key=lambda name: name.count("/")):
        key = name.removesuffix(f"/{MANIFEST_NAME}")
        is_artifact = not any(_NO_ARTIFACT.search(part) for part in key.split("/"))
        if is_artifact and not any(parent.as_posix() in keys for parent in PurePosixPath(key).parents):
            keys.add(key)
    return sorted(keys)


def keys_for_damaged(key: str) -> Iterator[str]:
    """Yield the keys that ``set_aside`` tries in turn: ``<key>.damaged-1``, ``<key>.damaged-2`` and so on."""
    return (f"{key}.damaged-{number}" for number in count(1))


def describe_folder(folder: Path, *, key: str, metadata: Mapping[str, Any]) -> Manifest:
    """Return the manifest of all files below a folder except those in ``scratch/``. Every file is read in full."""
    files = {name: describe_file(folder / name) for name in content_names(folder)}
    return Manifest(key=key, files=files, metadata=metadata)


def content_names(folder: Path) -> list[str]:
    """Return the sorted names of the files below a folder that are part of the artifact."""
    return sorted(
        name
        for name in (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if is_content(name)
    )


def is_content(name: str) -> bool:
    """Return whether a file of a workspace is part of the artifact. The manifest and files in ``scratch/`` are not."""
    return name != MANIFEST_NAME and not name.startswith(f"{SCRATCH_NAME}/")


def describe_file(path: Path) -> FileEntry:
    """Return the size and the SHA-256 of a file."""
    return FileEntry(num_bytes=path.stat().st_size, sha256=file_sha256(path))


def check_name(name: str) -> str:
    """Check that the name of a file, or the key of an artifact, is relative and stays below its folder; return it.

    Raises:
        ValueError: If the name is empty or absolute, or has a part that is empty, ``.`` or ``..``.
    """
    if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
        raise ValueError(f"a name in a store must be relative, of parts like 'peers/0a1b', got {name!r}.")
    return name


def verify_folder(folder: Path, manifest: Manifest) -> None:
    """Check the size and the content of every file of the manifest.

    Raises:
        ArtifactCorruptError: If a file is missing or differs. The message names the first such file.
    """
    damage = find_damage(folder, manifest)
    if damage:
        raise ArtifactCorruptError(next(iter(damage.values())))


def find_damage(folder: Path, manifest: Manifest) -> Mapping[str, str]:
    """Return a message for each file of the manifest that is missing in a folder or damaged, by the file's name."""
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
