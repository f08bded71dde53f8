"""Single objects of a bucket that other programs wrote, such as weights that a user has uploaded."""

from collections.abc import Callable
from pathlib import Path

from peerkd.artifacts.redaction import without_secrets
from peerkd.artifacts.s3 import open_bucket
from peerkd.artifacts.s3_errors import ConditionError, MissingError
from peerkd.artifacts.s3_transfer import Download, download_files
from peerkd.errors import StoreUnavailableError


def download_object(
    address: str, folder: Path, *, notify: Callable[[str], None], count_failure: Callable[[], None] = lambda: None
) -> Path:
    """Download the object ``s3://bucket/NAME`` into a folder, under the last part of its name.

    The environment names the server, as for the store.

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
        raise ValueError(f"{shown} must be an object in the bucket, and none exists.")
    path = folder / name.rpartition("/")[2]
    try:
        download_files(bucket, [Download(name=name, stored=stored, path=path)])
    except (MissingError, ConditionError) as error:
        raise StoreUnavailableError(f"{shown} was deleted or changed while it was read.") from error
    return path
