"""The names of the objects of a store, and the workspace that saves files to them."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_errors import ConditionError, MissingError
from peerkd.artifacts.s3_transfer import Download, download_files, upload_file
from peerkd.artifacts.store import MANIFEST_NAME, SCRATCH_NAME, Manifest, add_remedy_to_errors, check_name, file_sha256
from peerkd.errors import ArtifactCorruptError

_NUM_TRIES: Final = 20
"""The maximum number of attempts to load a file that another worker saves meanwhile, or that arrives damaged."""


@dataclass(frozen=True, slots=True)
class ObjectNames:
    """The names of a store's objects. ``peerkd.artifacts.s3`` describes the layout. The prefix may be empty."""

    prefix: str

    def address(self, bucket: str) -> str:
        """Return the address of the store, as a user writes it."""
        return f"s3://{bucket}/{self.prefix}".rstrip("/")

    def manifest(self, key: str) -> str:
        """Return the name of an artifact's manifest."""
        return self.published(key) + MANIFEST_NAME

    def file(self, manifest: Manifest, name: str) -> str:
        """Return the name of a file of a published artifact."""
        return self.content(manifest) + check_name(name)

    def content(self, manifest: Manifest) -> str:
        """Return the prefix of all files of a published artifact."""
        return f"{self.published(manifest.key)}{manifest.fingerprint[:16]}/"

    def published(self, key: str) -> str:
        """Return the prefix of all objects of a published artifact."""
        return f"{self.below(check_name(key))}/"

    def partial(self, key: str) -> str:
        """Return the prefix of all objects of an artifact's workspace."""
        return f"{self.below(check_name(key))}.partial/"

    def below(self, name: str) -> str:
        """Return the name of an object: the prefix of the store, a slash and ``name``."""
        return f"{self.prefix}/{name}" if self.prefix else name


@dataclass(frozen=True, slots=True)
class S3Workspace:
    """A workspace in a local folder. ``save`` also writes a file to an object of a bucket. See ``Workspace``."""

    folder: Path
    _bucket: Bucket
    _names: ObjectNames
    _key: str
    _saving: dict[str, Lock] = field(default_factory=dict)
    """The locks of files, by name. Only one thread at a time uploads a file, so that uploads keep their order."""
    _versions: dict[str, str] = field(default_factory=dict)
    """The newest known version of each saved file, by name. A list of objects may be older than an earlier list."""

    def save(self, *names: str, is_replaceable: bool = False) -> None:
        """Write files of the folder to the store; see ``Workspace.save``."""
        for name in names:
            path = self.folder / check_name(name)
            with self._saving.setdefault(name, Lock()):
                upload_file(self._bucket, path, self._partial + name)
                self._versions.setdefault(name, "")

    def load(self, name: str) -> bool:
        """Download the saved version of a file into the folder; see ``Workspace.load``.

        Raises:
            ArtifactCorruptError: If the content differs from what was saved.
        """
        target = self.folder / check_name(name)
        descriptor, text = tempfile.mkstemp(prefix=".load-", dir=self.folder / SCRATCH_NAME)
        os.close(descriptor)
        path = Path(text)
        try:
            for _ in range(_NUM_TRIES):
                stored = self._bucket.head(self._partial + name)
                if stored is None:
                    return False
                os.truncate(path, 0)
                try:
                    download = Download(name=self._partial + name, stored=stored, path=path)
                    download_files(self._bucket, [download])
                except (ConditionError, MissingError):
                    continue
                if file_sha256(path) == stored.sha256:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(target)
                    return True
        finally:
            path.unlink(missing_ok=True)
        with add_remedy_to_errors(self._names.address(self._bucket.name), f"{self._key}.partial"):
            raise ArtifactCorruptError(f"The content of {self._partial}{name} is not what was saved.")

    def discard(self, *names: str) -> None:
        """Delete files of the folder and their objects; see ``Workspace.discard``."""
        for name in names:
            (self.folder / check_name(name)).unlink(missing_ok=True)
            self._versions.pop(name, None)
        if names:
            self._bucket.delete(self._partial + name for name in names)

    def saved(self, prefix: str) -> Mapping[str, str]:
        """Return the names of all saved files whose name begins with ``prefix``, each with a version."""
        objects = self._bucket.names(self._partial + prefix)
        versions = {name.removeprefix(self._partial): version for name, version in objects.items()}
        for name in [name for name in list(self._versions) if name.startswith(prefix) and name not in versions]:
            if self._bucket.head(self._partial + name):
                versions[name] = self._versions[name]
            else:
                self._versions.pop(name, None)
        self._versions.update(versions)
        return versions

    @property
    def _partial(self) -> str:
        return self._names.partial(self._key)
