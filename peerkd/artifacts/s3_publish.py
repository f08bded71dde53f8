"""How files become an artifact in a bucket, such that whoever is cut off anywhere leaves none or a whole one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts.s3_answers import Stored
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.s3_errors import NUM_TRIES_OF_DAMAGED, ConditionError, MissingError, NoConditionsError
from peerkd.artifacts.s3_names import Names
from peerkd.artifacts.s3_transfer import COPY_BYTES, PART_BYTES, copy_object, is_stored, upload_file
from peerkd.artifacts.store import FileEntry, Manifest, content_names, describe_file, is_content, naming_the_remedy
from peerkd.errors import ArtifactCorruptError, StoreUnavailableError

_NUM_TRIES: Final = 10
"""Times that publishing is begun anew because another worker wrote or deleted what it was about."""
_NUM_LISTS: Final = 3
CLEAR_SECONDS: Final = 5.0
"""How long deleting waits for a store that is away: what stays is deleted by the next run, or by ``peerkd store``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A file of the artifact to be: an object that was saved, or a file of this worker alone."""

    entry: FileEntry
    path: Path | None = None
    saved: str | None = None
    stored: Stored | None = None


def find_manifest(bucket: Bucket, names: Names, key: str) -> Manifest | None:
    """Return the manifest of a published artifact, or None.

    One that does not prove itself is asked for again, since it may have been damaged on its way.

    Raises:
        ArtifactCorruptError: If it does not prove itself each time.
    """
    with naming_the_remedy(names.address(bucket.name), key):
        return bucket.get_parsed(names.manifest(key), lambda text: Manifest.from_json(text, key=key))


def publish_folder(
    bucket: Bucket,
    names: Names,
    key: str,
    folder: Path,
    *,
    metadata: Mapping[str, Any],
    part_bytes: int = PART_BYTES,
    copy_bytes: int = COPY_BYTES,
) -> Manifest:
    """Publish the files of a folder and those that anybody saved, unless the artifact is there; return its manifest.

    A file that is in both is published as it is in the folder.

    Raises:
        ArtifactCorruptError: If an object among the saved ones was not saved by this program.
        StoreUnavailableError: If the store does not answer, or loses what it was given.
    """
    gone: set[str] = set()
    for _ in range(_NUM_TRIES):
        manifest = find_manifest(bucket, names, key)
        if manifest:
            clear_away(bucket, names, manifest)
            return manifest
        # A file that is gone, or another one, when its turn comes: look again, perhaps somebody else has published.
        with suppress(MissingError, ConditionError):
            with naming_the_remedy(names.address(bucket.name), f"{key}.partial"):
                sources = _sources(bucket, names.partial(key), folder, gone=gone)
            files = {name: source.entry for name, source in sources.items()}
            manifest = Manifest(key=key, files=files, metadata=metadata)
            for name, source in sources.items():
                _write(bucket, source, names.file(manifest, name), part_bytes=part_bytes, copy_bytes=copy_bytes)
            _check(bucket, names, manifest)
            if _replaces(bucket, names, manifest):
                # Whoever published a moment before may have cleared these files away already.
                for name, source in sources.items():
                    _write(bucket, source, names.file(manifest, name), part_bytes=part_bytes, copy_bytes=copy_bytes)
    raise StoreUnavailableError(f"The files of {key} in {bucket.address} were lost {_NUM_TRIES} times while published.")


def clear_away(bucket: Bucket, names: Names, manifest: Manifest) -> int:
    """Delete what the making of a published artifact left; return the number of objects, 0 where deleting failed.

    The manifest says what stays. It has proved itself by its digest, so that no damaged answer decides what is deleted.
    """
    impatient = bucket.impatient(seconds=CLEAR_SECONDS)
    kept = (names.manifest(manifest.key), names.content(manifest))
    num_deleted = 0
    with suppress(StoreUnavailableError, ValueError):
        # A list may be an old one: it is asked for again until nothing is left.
        for _ in range(_NUM_LISTS):
            others = [name for name in impatient.list_once(names.published(manifest.key)) if not name.startswith(kept)]
            left = [*others, *impatient.list_once(names.partial(manifest.key))]
            if not left:
                break
            impatient.delete(left)
            num_deleted = max(num_deleted, len(left))
    return num_deleted


def _sources(bucket: Bucket, partial: str, folder: Path, *, gone: set[str]) -> dict[str, _Source]:
    """Return the files of the artifact to be.

    Lists may be old or damaged. So several are put together, and a name of which there is no object is believed to be
    gone only if it was so before.
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
    """Return what is known of a saved object; an answer without its SHA-256 may be damaged, and is asked for again."""
    for _ in range(NUM_TRIES_OF_DAMAGED):
        stored = bucket.head(saved)
        if stored is None or stored.sha256:
            break
    return stored


def _write(bucket: Bucket, source: _Source, target: str, *, part_bytes: int, copy_bytes: int) -> None:
    # By an attempt that was cut off.
    if is_stored(bucket, target, source.entry):
        return
    if source.saved and source.stored:
        copy_object(bucket, source.saved, source.stored, target, copy_bytes=copy_bytes)
    elif source.path:
        upload_file(bucket, source.path, target, part_bytes=part_bytes)


def _check(bucket: Bucket, names: Names, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        if not is_stored(bucket, names.file(manifest, name), entry):
            raise MissingError(name)


def _replaces(bucket: Bucket, names: Names, manifest: Manifest) -> bool:
    """Write the manifest unless there is one; return whether it may have taken the place of another."""
    name, text = names.manifest(manifest.key), manifest.to_json().encode()
    try:
        bucket.put(name, text, only_new=True)
    except ConditionError:
        # There is one: another worker's, or this one's, if the answer was lost and the request repeated.
        pass
    except NoConditionsError:
        if find_manifest(bucket, names, manifest.key) is None:
            bucket.put(name, text)
            return True
    return False
