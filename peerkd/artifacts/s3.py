"""A store in a bucket of any S3 server.

``<prefix>/<key>/manifest.json`` exists once the artifact is published: it is written last, and never replaced.
``<prefix>/<key>/<fingerprint>/`` contains the files. If two workers compute the same artifact at the same time with
different contents, they write to two such folders, and the manifest that is written first decides which one counts.
``<prefix>/<key>.partial/`` is the workspace: each saved file is an object with its SHA-256 in the metadata.

S3 has no locks, so two workers may open the same workspace at once. They may do the same work twice, but only one
artifact is published.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from peerkd.artifacts.cache import cache_folder, download_whole, fetch_once
from peerkd.artifacts.redaction import without_secrets
from peerkd.artifacts.s3_bucket import PART_BYTES, Bucket
from peerkd.artifacts.s3_environment import read_settings
from peerkd.artifacts.s3_errors import ConditionError, MissingError
from peerkd.artifacts.s3_publish import clear_away, find_manifest, publish_folder
from peerkd.artifacts.s3_retries import RETRY_SECONDS, StoreRetries
from peerkd.artifacts.s3_transfer import Download, download_files, move_objects
from peerkd.artifacts.s3_workspace import ObjectNames, S3Workspace
from peerkd.artifacts.store import (
    MANIFEST_NAME,
    SCRATCH_NAME,
    ArtifactStore,
    Manifest,
    Workspace,
    add_remedy_to_errors,
    check_name,
    keys_for_damaged,
    published_keys,
)
from peerkd.errors import ArtifactCorruptError, ArtifactNotFoundError
from peerkd.system_errors import add_path_to_errors


def open_bucket(
    address: str,
    *,
    notify: Callable[[str], None],
    count_failure: Callable[[], None] = lambda: None,
    patience_seconds: float = RETRY_SECONDS,
    part_bytes: int = PART_BYTES,
) -> tuple[Bucket, str]:
    """Return a client of the bucket in ``s3://bucket/prefix``, and the prefix. This sends no request.

    The environment variables name the server.

    Args:
        address: The address.
        notify: Called with a message when the store stops answering, and when it answers again.
        count_failure: Called for each request that fails, even if it is repeated.
        patience_seconds: The time for which a request is repeated while the store does not answer.
        part_bytes: The size of the parts of an upload or a download.

    Raises:
        ValueError: If the address has no bucket, or the environment names no valid server or credentials.
    """
    parts = urlsplit(address)
    if not parts.hostname or parts.netloc != parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"store must be like s3://bucket/prefix, got {without_secrets(address, keeps_path=True)}.")
    prefix = parts.path.strip("/")
    if prefix:
        check_name(prefix)
    settings = read_settings(store=address)
    retries = StoreRetries(settings.endpoint, notify=notify, count_failure=count_failure, seconds=patience_seconds)
    return Bucket(settings, parts.netloc, retries=retries, part_bytes=part_bytes), prefix


class S3Store:
    """A store below a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str, *, cache: Path | None = None) -> None:
        self._bucket, self._names = bucket, ObjectNames(prefix)
        self._cache = cache or cache_folder(f"{bucket.address}/{prefix}")
        self._folders: dict[str, Path] = {}

    @property
    def address(self) -> str:
        """The address of the store: ``s3://bucket/prefix``."""
        return self._names.address(self._bucket.name)

    def find(self, key: str) -> Manifest | None:
        """Return the manifest of a published artifact, or None."""
        return find_manifest(self._bucket, self._names, key)

    def fetch(self, key: str) -> Path:
        """Return the artifact's folder in the cache of this machine; see ``ArtifactStore.fetch``."""
        manifest = self._find_published(key)
        with add_remedy_to_errors(self.address, key):
            return fetch_once(self._cache, manifest, download=partial(self._download, manifest))

    def verify(self, key: str) -> Manifest:
        """Download every file of an artifact and check it; see ``ArtifactStore.verify``."""
        manifest = self._find_published(key)
        with add_remedy_to_errors(self.address, key), tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
            download_whole(Path(folder), manifest, download=partial(self._download, manifest))
        return manifest

    def keys(self) -> list[str]:
        """Return the keys of all published artifacts; see ``ArtifactStore.keys``."""
        below = self._names.below("")
        return published_keys(
            name.removeprefix(below) for name in self._bucket.names(below) if name.endswith(f"/{MANIFEST_NAME}")
        )

    def set_aside(self, key: str) -> str:
        """Move the objects of an artifact or a workspace to ``<key>.damaged-N``, and return the new key.

        S3 cannot rename, so the objects are copied and the originals deleted. See ``ArtifactStore.set_aside`` for the
        errors.
        """
        source = self._names.published(key)
        objects = sorted(self._bucket.names(source))
        if not objects:
            raise ArtifactNotFoundError(f"{self.address} has no artifact {key}.")
        target_key = next(name for name in keys_for_damaged(key) if not self._bucket.names(self._names.published(name)))
        target = self._names.published(target_key)
        move_objects(self._bucket, {name: target + name.removeprefix(source) for name in objects})
        return target_key

    def clear_away(self, key: str) -> int:
        """Delete all objects that a published artifact does not need, and return the number of deleted objects.

        Such objects are in the workspace, for example. See ``ArtifactStore.clear_away``.
        """
        return clear_away(self._bucket, self._names, check_name(key))

    def free_bytes(self) -> int | None:
        """Return None, because S3 does not report the free space of a bucket."""
        return None

    @contextmanager
    def open_workspace(self, key: str, *, shared: bool = False) -> Iterator[Workspace]:
        """Open a workspace in a new local folder; see ``ArtifactStore.open_workspace``."""
        check_name(key)
        with tempfile.TemporaryDirectory(prefix="peerkd-", ignore_cleanup_errors=True) as text:
            folder = self._folders[key] = Path(text)
            (folder / SCRATCH_NAME).mkdir()
            try:
                with add_path_to_errors(folder):
                    yield S3Workspace(folder, self._bucket, self._names, key)
            finally:
                self._folders.pop(key, None)
                if shared:
                    # This worker may have saved files after another one had published.
                    self.clear_away(key)

    @contextmanager
    def read_workspace(self, key: str, *, is_chosen: Callable[[str], bool]) -> Iterator[Mapping[str, Path]]:
        """Download saved files to a temporary folder; see ``ArtifactStore.read_workspace``."""
        with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
            workspace = S3Workspace(Path(folder), self._bucket, self._names, check_name(key))
            (workspace.folder / SCRATCH_NAME).mkdir()
            names = filter(is_chosen, workspace.saved(f"{SCRATCH_NAME}/"))
            yield {name: workspace.folder / name for name in sorted(names) if workspace.load(name)}

    def publish(self, key: str, *, metadata: Mapping[str, Any]) -> Manifest:
        """Write the files of the workspace to the bucket and check them, then write and return the manifest.

        See ``ArtifactStore.publish``.
        """
        return publish_folder(self._bucket, self._names, key, self._folders[key], metadata=metadata)

    def _find_published(self, key: str) -> Manifest:
        manifest = self.find(key)
        if manifest is None:
            raise ArtifactNotFoundError(f"{self.address} has no artifact {key}.")
        return manifest

    def _download(self, manifest: Manifest, folder: Path, names: Sequence[str]) -> None:
        downloads = []
        for name in names:
            entry = manifest.files[name]
            stored = self._bucket.head(self._names.file(manifest, name))
            if stored is None:
                raise ArtifactCorruptError(f"{manifest.key}: the file {name} is missing.")
            if stored.num_bytes != entry.num_bytes:
                raise ArtifactCorruptError(
                    f"{manifest.key}: the file {name} must have {entry.num_bytes} bytes, got {stored.num_bytes}."
                )
            downloads.append(Download(name=self._names.file(manifest, name), stored=stored, path=folder / name))
        try:
            download_files(self._bucket, downloads)
        except (MissingError, ConditionError) as error:
            raise ArtifactCorruptError(f"{manifest.key}: a file was deleted or changed while it was read.") from error


if TYPE_CHECKING:

    def _(store: S3Store) -> ArtifactStore:
        return store
