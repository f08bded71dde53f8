"""Objects of a bucket that other programs wrote, such as weights and images that a user has uploaded."""

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from peerkd.artifacts.redaction import without_secrets
from peerkd.artifacts.s3 import open_bucket
from peerkd.artifacts.s3_errors import ConditionError, MissingError
from peerkd.artifacts.s3_transfer import Download, download_files
from peerkd.errors import StoreUnavailableError
from peerkd.excerpt import plain_path

_NUM_AT_ONCE: Final = 500
"""The number of objects that are downloaded together. Progress is reported after each such group."""


def download_object(
    address: str, folder: Path, *, notify: Callable[[str], None], count_failure: Callable[[], None] = lambda: None
) -> Path:
    """Download the object ``s3://bucket/NAME`` into a folder, under the last part of its name.

    The server and the keys come from environment variables such as ``PEERKD_S3_ENDPOINT``, as they do for a store.

    Args:
        address: The address of the object.
        folder: An existing folder.
        notify: Called with a message when the server stops answering, and when it answers again.
        count_failure: Called for each request that fails, even if it is repeated.

    Raises:
        ValueError: If the object does not exist, or the environment or the address is not valid.
        StoreUnavailableError: If the server does not answer, or the object changes meanwhile.
    """
    bucket, name = open_bucket(address, notify=notify, count_failure=count_failure)
    stored = bucket.head(name)
    shown = without_secrets(address, keeps_path=True)
    if stored is None:
        # The response is the same if the bucket does not exist, but a list of its objects would be refused.
        bucket.names(name)
        raise ValueError(f"{shown} must be an object in the bucket, and none exists.")
    path = folder / name.rpartition("/")[2]
    try:
        download_files(bucket, [Download(name=name, stored=stored, path=path)])
    except (MissingError, ConditionError) as error:
        raise StoreUnavailableError(f"{shown} was deleted or changed while it was read.") from error
    return path


def list_objects(
    address: str, *, notify: Callable[[str], None], count_failure: Callable[[], None] = lambda: None
) -> Mapping[str, str]:
    """Return the names of the objects at or below ``s3://bucket/NAME``, each with a version.

    The version of an object changes whenever its content changes.

    Args:
        address: The address of an object, or of a folder of objects.
        notify: Called with a message when the server stops answering, and when it answers again.
        count_failure: Called for each request that fails, even if it is repeated.

    Raises:
        ValueError: If the environment or the address is not valid.
        StoreUnavailableError: If the server does not answer.
    """
    bucket, name = open_bucket(address, notify=notify, count_failure=count_failure)
    found = bucket.names(name)
    return {each: found[each] for each in sorted(found) if not name or each == name or each.startswith(f"{name}/")}


def download_folder(
    address: str,
    folder: Path,
    *,
    notify: Callable[[str], None],
    progress: Callable[[int, int], None],
    count_failure: Callable[[], None] = lambda: None,
) -> Path:
    """Download the objects at or below ``s3://bucket/NAME`` into a folder, and return the path of the copy.

    Args:
        address: The address of an object, or of a folder of objects.
        folder: An existing folder.
        notify: Called with a message when the server stops answering, and when it answers again.
        progress: Called with the number of objects that have been downloaded, and with their total.
        count_failure: Called for each request that fails, even if it is repeated.

    Raises:
        ValueError: If no object exists, the name of an object cannot be the name of a file, or the environment or the
            address is not valid.
        StoreUnavailableError: If the server does not answer, or an object changes meanwhile.
    """
    shown = without_secrets(address, keeps_path=True)
    names = list(list_objects(address, notify=notify, count_failure=count_failure))
    if not names:
        raise ValueError(f"{shown} must be an object or a folder of objects in the bucket, and none exists.")
    bucket, prefix = open_bucket(address, notify=notify, count_failure=count_failure)
    base = folder / (prefix.rpartition("/")[2] or bucket.name)
    paths = {name: base / _below(name, prefix) for name in names}
    folders = {parent for path in paths.values() for parent in path.parents}
    for start in range(0, len(names), _NUM_AT_ONCE):
        downloads = []
        for name in names[start : start + _NUM_AT_ONCE]:
            stored = bucket.head(name)
            if paths[name] in folders:
                raise ValueError(f"{shown} must not have an object with the name of a folder, got {plain_path(name)}.")
            if stored is None:
                raise StoreUnavailableError(f"{plain_path(name)} below {shown} was deleted while it was read.")
            downloads.append(Download(name=name, stored=stored, path=paths[name]))
        try:
            download_files(bucket, downloads)
        except (MissingError, ConditionError) as error:
            raise StoreUnavailableError(f"{shown} was changed while it was read.") from error
        progress(start + len(downloads), len(names))
    return base


def _below(name: str, prefix: str) -> PurePosixPath:
    """Return the path of an object relative to a prefix. The copy of the object gets this path below a local folder.

    Raises:
        ValueError: If a part of the name would lead out of the local folder, or cannot be the name of a file.
    """
    rest = name.removeprefix(prefix).removeprefix("/")
    if any(part in ("", ".", "..") or "\0" in part for part in rest.split("/")) and rest:
        raise ValueError(f"An object must have a name that a file can have, got {plain_path(name)}.")
    return PurePosixPath(rest)
