"""Data in a bucket: a signature that changes when a file changes, and a local copy for the time of reading."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from peerkd.artifacts.keys import fingerprint
from peerkd.artifacts.redaction import without_secrets
from peerkd.config.given_peers import S3_SCHEME
from peerkd.data.sources.pixel_rules import ReportProgress
from peerkd.data.sources.signature import signature
from peerkd.errors import DataSourceError
from peerkd.metrics import recorder
from peerkd.metrics.progress import print_line
from peerkd.system_errors import add_path_to_errors


def data_signature(stage: str, address: str | None, *, is_flat: bool = False) -> str | None:
    """Return a signature of the files at an address, which changes when the files change.

    On a disk, the signature covers the names, sizes and times of the files. In a bucket, it covers what the server
    lists about the objects.

    Args:
        stage: The name of the stage, for messages.
        address: A file, a folder or the ``s3://`` address of one of them. The signature of None is None.
        is_flat: Whether the source reads only the files directly in a folder.
    """
    if address is None or not address.startswith(S3_SCHEME):
        return signature(address, is_flat=is_flat)
    # Imported here, because only data in a bucket need the client.
    from peerkd.artifacts.objects import list_objects

    return fingerprint(
        dict(list_objects(address, notify=partial(print_line, stage), count_failure=recorder.store_error))
    )


@contextmanager
def local_data(stage: str, address: str | None, *, progress: ReportProgress) -> Iterator[str | None]:
    """Yield a local path of the files at an address, for use in the ``with`` block.

    The path is the address itself or, for an address in a bucket, the path of a copy that is deleted after the block.
    Error messages raised in the block name the address instead of the copy.

    Args:
        stage: The name of the stage, for messages.
        address: A file, a folder or the ``s3://`` address of one of them.
        progress: Called with the number of objects that have been downloaded, and with their total.

    Raises:
        ValueError: If the address names no object.
        StoreUnavailableError: If the server does not answer.
    """
    if address is None or not address.startswith(S3_SCHEME):
        yield address
        return
    from peerkd.artifacts.objects import download_folder

    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        with add_path_to_errors(Path(folder)):
            path = download_folder(
                address,
                Path(folder),
                notify=partial(print_line, stage),
                progress=progress,
                count_failure=recorder.store_error,
            )
        with _naming_address(address, Path(folder)):
            yield str(path)


@contextmanager
def local_file(stage: str, address: str, *, field: str) -> Iterator[Path]:
    """Yield a local path of a file, for use in the ``with`` block.

    The path is the path of the file itself or, for an object in a bucket, the path of a copy that is deleted after the
    block. Error messages raised in the block name the address instead of the copy.

    Args:
        stage: The name of the stage, for messages.
        address: The path of a file, which need not exist, or the ``s3://`` address of an object.
        field: The config field with the address, for messages.

    Raises:
        ValueError: If the object does not exist.
        StoreUnavailableError: If the server does not answer.
    """
    if not address.startswith(S3_SCHEME):
        yield Path(address).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        try:
            path = download_file(stage, address, Path(folder))
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from error
        with _naming_address(address, Path(folder)):
            yield path


def download_file(stage: str, address: str, folder: Path) -> Path:
    """Download an object into an existing folder, and return the path of the copy.

    Args:
        stage: The name of the stage, for messages.
        address: The ``s3://`` address of the object.
        folder: The folder.

    Raises:
        ValueError: If the object does not exist.
        StoreUnavailableError: If the server does not answer.
    """
    from peerkd.artifacts.objects import download_object

    with add_path_to_errors(folder):
        return download_object(address, folder, notify=partial(print_line, stage), count_failure=recorder.store_error)


@contextmanager
def _naming_address(address: str, folder: Path) -> Iterator[None]:
    """Replace the path of a temporary copy by the original address in error messages raised in the ``with`` block."""
    try:
        yield
    except (ValueError, DataSourceError) as error:
        # Errors of other types may need other arguments.
        if type(error) not in (ValueError, DataSourceError):
            raise
        parent, _, _ = without_secrets(address, keeps_path=True).rstrip("/").rpartition("/")
        raise type(error)(str(error).replace(f"{folder}/", f"{parent}/")) from error
