"""Publishing an artifact to a bucket. A worker that is killed at any moment leaves a complete artifact or none."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.s3_bucket import Bucket, Stored
from peerkd.artifacts.s3_errors import NUM_TRIES_OF_DAMAGED, ConditionError, MissingError, NoConditionsError
from peerkd.artifacts.s3_transfer import copy_object, is_stored, upload_file
from peerkd.artifacts.s3_workspace import ObjectNames
from peerkd.artifacts.store import FileEntry, Manifest, add_remedy_to_errors, content_names, describe_file, is_content
from peerkd.errors import ArtifactCorruptError, StoreUnavailableError

_NUM_TRIES: Final = 10
"""The maximum number of attempts to publish while other workers write or delete the same files."""
_NUM_LISTS: Final = 3
"""The number of times that the objects below a prefix are listed, because one list may be stale or damaged."""
_CLEAR_SECONDS: Final = 5.0
"""The time for which failed requests of ``clear_away`` are repeated.

Objects that remain after that are deleted by later runs, or by ``peerkd store clear``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """The place of a file to publish: a saved object of the workspace, or this worker's folder."""

    entry: FileEntry
    path: Path | None = None
    saved: str | None = None
    stored: Stored | None = None


def find_manifest(bucket: Bucket, names: ObjectNames, key: str) -> Manifest | None:
    """Return the manifest of a published artifact, or None.

    A manifest that does not match its own digest is requested again, because it may have been damaged in transit.

    Raises:
        ArtifactCorruptError: If the manifest is damaged each time.
    """
    with add_remedy_to_errors(names.address(bucket.name), key):
        return bucket.get_parsed(names.manifest(key), lambda text: Manifest.from_json(text, key=key))


def publish_folder(
    bucket: Bucket, names: ObjectNames, key: str, folder: Path, *, metadata: Mapping[str, Any]
) -> Manifest:
    """Publish an artifact from the files of a folder and all saved files, and return the manifest.

    If the artifact exists already, it stays as it is and its manifest is returned. If a file is in the folder and was
    also saved, the content in the folder is published.

    Raises:
        ArtifactCorruptError: If another program wrote one of the saved objects.
        StoreUnavailableError: If the store does not answer, or loses what was written to it.
    """
    gone: set[str] = set()
    for _ in range(_NUM_TRIES):
        manifest = find_manifest(bucket, names, key)
        if manifest:
            clear_away(bucket, names, key, manifest)
            return manifest
        # If a file was deleted or replaced meanwhile, another worker may have published the artifact.
        with suppress(MissingError, ConditionError):
            with add_remedy_to_errors(names.address(bucket.name), f"{key}.partial"):
                sources = _sources(bucket, names.partial(key), folder, gone=gone)
            files = {name: source.entry for name, source in sources.items()}
            manifest = Manifest(key=key, files=files, metadata=metadata)
            targets = {names.file(manifest, name): source for name, source in sources.items()}
            _write_files(bucket, targets)
            for target, source in targets.items():
                if not is_stored(bucket, target, source.entry):
                    raise MissingError(target)
            if not _write_manifest(bucket, names, manifest):
                # Another worker that published a moment before may have deleted these files already.
                _write_files(bucket, targets)
    raise StoreUnavailableError(f"The files of {key} in {bucket.address} were lost {_NUM_TRIES} times while published.")


def clear_away(bucket: Bucket, names: ObjectNames, key: str, manifest: Manifest | None = None) -> int:
    """Delete the objects that a published artifact does not need, such as its workspace; return how many were deleted.

    The manifest decides which objects are kept. Its digest has been checked, so a damaged response of the server cannot
    lead to the deletion of a needed object.

    Args:
        bucket: The bucket.
        names: The names of the store's objects.
        key: The key of the artifact.
        manifest: The manifest of the artifact. None: it is read from the store; if the artifact is not published,
            nothing is deleted.
    """
    limited = bucket.with_time_limit(_CLEAR_SECONDS)
    num_deleted = 0
    with suppress(StoreUnavailableError, ArtifactCorruptError, ValueError):
        manifest = manifest or find_manifest(limited, names, key)
        if manifest is None:
            return 0
        kept = (names.manifest(key), names.content(manifest))
        # A list may be stale, so it is requested again until nothing is left.
        for _ in range(_NUM_LISTS):
            others = [name for name in limited.list_once(names.published(key)) if not name.startswith(kept)]
            left = [*others, *limited.list_once(names.partial(key))]
            if not left:
                break
            limited.delete(left)
            num_deleted = max(num_deleted, len(left))
    return num_deleted


def _sources(bucket: Bucket, partial: str, folder: Path, *, gone: set[str]) -> dict[str, _Source]:
    """Return the files to publish, by name.

    One list of the saved objects may be stale or damaged, so several are merged.

    Args:
        bucket: The bucket.
        partial: The prefix of the workspace.
        folder: This worker's folder.
        gone: Names that a list contained in an earlier attempt although no such object exists. These names are skipped.
            If the function finds one more listed name without an object, it adds the name to this set and raises
            ``MissingError``.

    Raises:
        MissingError: If a listed name that is not in ``gone`` has no object.
        ArtifactCorruptError: If another program wrote one of the saved objects.
    """
    sources = {name: _Source(entry=describe_file(folder / name), path=folder / name) for name in content_names(folder)}
    for saved in {saved for _ in range(_NUM_LISTS) for saved in bucket.list_once(partial)}:
        name = saved.removeprefix(partial)
        if not is_content(name):
            continue
        stored = _head(bucket, saved)
        if stored is None:
            if saved in gone:
                continue
            gone.add(saved)
            raise MissingError(saved)
        if stored.sha256 is None:
            raise ArtifactCorruptError(f"{saved} in {bucket.address} has no SHA-256: it was not saved by this program.")
        entry = FileEntry(num_bytes=stored.num_bytes, sha256=stored.sha256)
        if name not in sources or sources[name].entry == entry:
            sources[name] = _Source(entry=entry, saved=saved, stored=stored)
    return dict(sorted(sources.items()))


def _head(bucket: Bucket, saved: str) -> Stored | None:
    """Return the size, the SHA-256 and the ETag of a saved object, or None if the object does not exist.

    A response without a SHA-256 may be damaged, so the request is repeated.
    """
    for _ in range(NUM_TRIES_OF_DAMAGED):
        stored = bucket.head(saved)
        if stored is None or stored.sha256:
            break
    return stored


def _write_files(bucket: Bucket, targets: Mapping[str, _Source]) -> None:
    for target, source in targets.items():
        # An earlier attempt may have written the file before it was cut off.
        if is_stored(bucket, target, source.entry):
            continue
        if source.saved and source.stored:
            copy_object(bucket, source.saved, source.stored, target)
        elif source.path:
            upload_file(bucket, source.path, target)


def _write_manifest(bucket: Bucket, names: ObjectNames, manifest: Manifest) -> bool:
    """Write a manifest unless the artifact has one. Return False if it may have replaced another worker's manifest.

    A manifest can be replaced only on a server that does not support conditional writes.
    """
    name, text = names.manifest(manifest.key), manifest.to_json().encode()
    try:
        bucket.put(name, text, only_new=True)
    except ConditionError:
        # The manifest is another worker's, or this one's if the response was lost and the request repeated.
        pass
    except NoConditionsError:
        if find_manifest(bucket, names, manifest.key) is None:
            bucket.put(name, text)
            return False
    return True
