"""Uploads and downloads of files.

Large files are sent in parts, several at the same time, and only a part that fails is repeated.

An upload uses ``_NUM_PARTS_AT_ONCE`` times ``Bucket.part_bytes`` of memory, whatever the size of the file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from peerkd.artifacts.s3_bucket import Bucket, Stored
from peerkd.artifacts.s3_errors import ConditionError, MissingError, UploadLostError
from peerkd.artifacts.store import FileEntry, describe_file
from peerkd.errors import StoreUnavailableError

_NUM_PARTS_AT_ONCE: Final = 2
_NUM_RANGES_AT_ONCE: Final = 8
_NUM_UPLOADS: Final = 3
"""The maximum number of attempts to upload a file, if the server loses parts or the file changes during the upload."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """An object to download, and the path of the local file."""

    name: str
    stored: Stored
    path: Path


def upload_file(bucket: Bucket, path: Path, name: str) -> FileEntry:
    """Upload a file to an object, with its SHA-256 in the metadata; return the size and SHA-256 of what was uploaded.

    The object has the content that the file had at one moment: if a large file changes during the upload, the upload
    starts again.

    Raises:
        StoreUnavailableError: If the store does not answer, or loses what was written to it.
        FileNotFoundError: If the file does not exist.
    """
    if path.stat().st_size <= bucket.part_bytes:
        content = path.read_bytes()
        return FileEntry(num_bytes=len(content), sha256=bucket.put(name, content))
    for upload in bucket.uploads(name):
        # This upload is probably left from an attempt that was killed. If its worker is alive, it starts its upload
        # again, and does not abort this worker's.
        with suppress(UploadLostError):
            bucket.abort_upload(name, upload)

    def put(upload: str, number: int, offset: int, num_bytes: int) -> str:
        with path.open("rb") as file:
            file.seek(offset)
            return bucket.put_part(name, upload, number, file.read(num_bytes))

    return _write_parts(bucket, name, lambda: describe_file(path), put, part_bytes=bucket.part_bytes)


def copy_object(bucket: Bucket, source: str, stored: Stored, target: str) -> None:
    """Let the server copy an object of any size.

    Args:
        bucket: The bucket.
        source: The name of the object.
        stored: The result of ``Bucket.head`` for the source.
        target: The name of the copy.

    Raises:
        MissingError: If the source does not exist any more.
        ConditionError: If the source has changed.
        StoreUnavailableError: If the store does not answer, or loses what was written to it.
    """
    if stored.num_bytes <= bucket.copy_bytes:
        bucket.copy(source, target, etag=stored.etag)
        return

    def describe() -> FileEntry:
        # Some servers ignore the condition of a request that copies a part.
        if bucket.head(source) != stored:
            raise ConditionError(source)
        return FileEntry(num_bytes=stored.num_bytes, sha256=stored.sha256 or "")

    def copy(upload: str, number: int, offset: int, num_bytes: int) -> str:
        return bucket.copy_part(source, target, upload, number, etag=stored.etag, offset=offset, num_bytes=num_bytes)

    _write_parts(bucket, target, describe, copy, part_bytes=bucket.copy_bytes)


def move_objects(bucket: Bucket, targets: Mapping[str, str]) -> None:
    """Let the server copy objects to new names, and delete the originals once all copies exist.

    Args:
        bucket: The bucket.
        targets: The new name of each object, by its old name.

    Raises:
        StoreUnavailableError: If the store does not answer, or an object changes meanwhile. The originals are kept.
    """
    for source, target in targets.items():
        stored = bucket.head(source)
        with suppress(MissingError, ConditionError):
            if stored:
                copy_object(bucket, source, stored, target)
        copied = bucket.head(target)
        if stored is None or copied is None or copied.num_bytes != stored.num_bytes:
            raise StoreUnavailableError(f"The object {source} changed while it was moved; try again.")
    bucket.delete(targets)


def is_stored(bucket: Bucket, name: str, entry: FileEntry) -> bool:
    """Return whether an object exists with this size and SHA-256."""
    stored = bucket.head(name)
    return stored is not None and (stored.num_bytes, stored.sha256) == (entry.num_bytes, entry.sha256)


def download_files(bucket: Bucket, downloads: Iterable[Download]) -> None:
    """Download objects into new files. Each object is divided into ranges, and several ranges are downloaded at once.

    The contents are not compared with a SHA-256.

    Raises:
        MissingError: If an object does not exist any more.
        ConditionError: If an object has changed.
        StoreUnavailableError: If the store does not answer.
    """
    ranges: list[tuple[Download, int, int]] = []
    for download in downloads:
        download.path.parent.mkdir(parents=True, exist_ok=True)
        download.path.touch()
        ranges += [(download, *each) for each in _ranges(download.stored.num_bytes, bucket.part_bytes)]
    with _threads(_NUM_RANGES_AT_ONCE) as threads:
        for done in [threads.submit(_download_range, bucket, *each) for each in ranges]:
            done.result()


def _download_range(bucket: Bucket, download: Download, offset: int, num_bytes: int) -> None:
    end = offset + num_bytes
    with download.path.open("r+b") as file:
        file.seek(offset)
        # If a connection breaks, the next one continues from there.
        while offset < end:
            offset += bucket.read(
                download.name, etag=download.stored.etag, offset=offset, num_bytes=end - offset, write=file.write
            )


def _write_parts(
    bucket: Bucket,
    name: str,
    describe: Callable[[], FileEntry],
    write_part: Callable[[str, int, int, int], str],
    *,
    part_bytes: int,
) -> FileEntry:
    """Write an object by a multipart upload; return the size and SHA-256 of what was written.

    Args:
        bucket: The bucket.
        name: The name of the object.
        describe: A function that returns the size and SHA-256 of the source. If they change, the upload starts again.
        write_part: A function that writes a part and returns its ETag. It receives the id of the upload, and the
            number, the offset and the size of the part.
        part_bytes: The size of the parts.
    """
    for _ in range(_NUM_UPLOADS):
        entry = describe()
        upload = bucket.begin_upload(name, sha256=entry.sha256)
        try:
            with _threads(_NUM_PARTS_AT_ONCE) as threads:
                ranges = enumerate(_ranges(entry.num_bytes, part_bytes), start=1)
                parts = [threads.submit(write_part, upload, number, *each) for number, each in ranges]
                tags = [part.result() for part in parts]
            if describe() != entry:
                bucket.abort_upload(name, upload)
                continue
            bucket.end_upload(name, upload, tags)
        except UploadLostError:
            # An earlier request, whose response was lost, may have completed the upload.
            pass
        except BaseException:
            with suppress(StoreUnavailableError, UploadLostError, ValueError):
                bucket.with_time_limit(0).abort_upload(name, upload)
            raise
        if is_stored(bucket, name, entry):
            return entry
    raise StoreUnavailableError(f"The upload of {name} was lost {_NUM_UPLOADS} times, or the file changed meanwhile.")


@contextmanager
def _threads(num: int) -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(num, thread_name_prefix="s3")
    try:
        yield executor
    finally:
        # Once a part has failed for good, no further part is started.
        executor.shutdown(cancel_futures=True)


def _ranges(num_bytes: int, part_bytes: int) -> list[tuple[int, int]]:
    return [(offset, min(part_bytes, num_bytes - offset)) for offset in range(0, num_bytes, part_bytes)]
