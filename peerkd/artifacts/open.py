"""The one place where a store's address becomes a store."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.redaction import without_secrets
from peerkd.artifacts.store import ArtifactStore
from peerkd.excerpt import plain

S3_SCHEME = "s3://"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""What every server takes for a bucket's name."""

_MAX_NAME_BYTES: Final = 255
_MAX_PATH_BYTES: Final = 3_500
"""Linux takes 4,096; the names of artifacts and their files come on top."""


def open_store(
    address: str, *, tell: Callable[[str], None] | None = None, count_failure: Callable[[], None] = lambda: None
) -> ArtifactStore:
    """Return the store at an address: a folder, or ``s3://bucket/prefix`` on the server that the environment names.

    Args:
        address: The address.
        tell: Is given a sentence when a distant store does not answer, or a local one sets an artifact aside that a
            power cut has damaged; without it, that is logged as a warning.
        count_failure: Is called for each request to a distant store that fails, even if it is repeated.

    Raises:
        ValueError: If the address is empty or has a scheme that no backend serves, or the environment lacks what the
            store needs.
    """
    check_address(address)
    if address.startswith(S3_SCHEME):
        # Only here, so that a folder needs neither the client nor its memory.
        from peerkd.artifacts.s3 import S3Store, open_bucket

        tell = tell or logging.getLogger("peerkd").warning
        return S3Store(*open_bucket(address, tell=tell, count_failure=count_failure))
    return FilesystemStore(Path(address)) if tell is None else FilesystemStore(Path(address), tell=tell)


def check_address(address: str) -> None:
    """Do nothing for the address of a store that a backend serves. Nothing is opened.

    Raises:
        ValueError: If it is empty, has another scheme, names no bucket, or looks like a mistake in an address.
    """
    shown = plain(without_secrets(address, keeps_path=True))
    if not address:
        raise ValueError("store must be a folder or s3://bucket/prefix, got an empty text.")
    if address.startswith(S3_SCHEME):
        if not _BUCKET.fullmatch(address.removeprefix(S3_SCHEME).partition("/")[0]):
            raise ValueError(f"store must be like s3://bucket/prefix, got {shown}.")
    elif "://" in address:
        raise ValueError(f"store must be a folder or s3://bucket/prefix, got {shown}.")
    else:
        check_folder("store", Path(address), rule="a folder or s3://bucket/prefix")


def check_folder(field: str, folder: Path, *, rule: str = "a folder") -> None:
    """Do nothing for the path of a folder that somebody can have meant.

    Raises:
        ValueError: If it looks like an address, begins with an unexpanded ``~``, or cannot be a path at all.
    """
    refused = f"{field} must be {rule}, got {plain(folder)}"
    first = folder.parts[0] if folder.parts else ""
    # Otherwise a slip in s3:// would train into a folder with the name "s3:".
    if ":" in first:
        raise ValueError(f"{refused}; a folder whose name has a colon is given by its whole path.")
    if first.startswith("~"):
        raise ValueError(f"{refused}; the shell puts your home folder in place of ~ where it is not quoted.")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in folder.parts):
        raise ValueError(f"{refused}; a name in a path has at most {_MAX_NAME_BYTES} bytes.")
    if len(os.fsencode(folder.absolute())) > _MAX_PATH_BYTES:
        raise ValueError(f"{refused}; a path has at most {_MAX_PATH_BYTES:,} bytes, with room for the artifacts below.")
    if "\0" in str(folder):
        raise ValueError(f"{refused}; no path has a character NUL.")
