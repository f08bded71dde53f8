"""Opening a store by its address, and checking addresses."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from peerkd.artifacts.cleaning import FolderCleaner, StoreCleaner
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.redaction import without_secrets
from peerkd.artifacts.store import ArtifactStore
from peerkd.excerpt import plain_path

S3_SCHEME = "s3://"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""The pattern of the bucket names that every server accepts."""

_MAX_NAME_BYTES: Final = 255
_MAX_PATH_BYTES: Final = 3_500
"""The maximum length of a store's path. Linux allows 4,096 bytes for the path of a file; the rest is for the names of
the files in the store."""


def open_store(
    address: str, *, notify: Callable[[str], None] | None = None, count_failure: Callable[[], None] = lambda: None
) -> ArtifactStore:
    """Return the store at an address: a folder, or ``s3://bucket/prefix`` on the server that the environment names.

    Args:
        address: The address.
        notify: Called with a message when a remote store does not answer, or when a local store renames an artifact
            because a power cut has damaged its manifest. By default the message is logged as a warning.
        count_failure: Called for each request to a remote store that fails, even if it is repeated.

    Raises:
        ValueError: If the address is not valid, or the environment lacks a setting that the store needs.
    """
    check_address(address)
    if address.startswith(S3_SCHEME):
        # Imported here, so that a store in a folder needs neither the client nor its memory.
        from peerkd.artifacts.s3 import S3Store, open_bucket

        notify = notify or logging.getLogger("peerkd").warning
        return S3Store(*open_bucket(address, notify=notify, count_failure=count_failure))
    return FilesystemStore(Path(address)) if notify is None else FilesystemStore(Path(address), notify=notify)


def open_cleaner(address: str, *, notify: Callable[[str], None]) -> StoreCleaner:
    """Return the cleaner of the store at an address: a folder, or ``s3://bucket/prefix``.

    Raises:
        ValueError: If the address is not valid, or the environment lacks a setting that the store needs.
    """
    check_address(address)
    if address.startswith(S3_SCHEME):
        from peerkd.artifacts.s3 import open_bucket
        from peerkd.artifacts.s3_cleaning import S3Cleaner

        return S3Cleaner(*open_bucket(address, notify=notify))
    return FolderCleaner(Path(address))


def canonical_address(address: str) -> str:
    """Return the same text for all spellings of the address of a store, such as with and without a slash at the end.

    A relative path becomes absolute.
    """
    if not address.startswith(S3_SCHEME):
        return str(Path(address).absolute())
    bucket, _, prefix = address.removeprefix(S3_SCHEME).partition("/")
    return f"{S3_SCHEME}{bucket}/{prefix.strip('/')}".rstrip("/")


def check_address(address: str) -> None:
    """Check that an address is a valid address of a store, without opening the store.

    Raises:
        ValueError: If the address is empty, has a scheme other than ``s3://``, names no bucket, or is a path that
            ``check_folder`` refuses.
    """
    shown = plain_path(without_secrets(address, keeps_path=True))
    if not address:
        raise ValueError("store must be a folder or s3://bucket/prefix, got an empty text.")
    if address.startswith(S3_SCHEME):
        if not _BUCKET.fullmatch(address.removeprefix(S3_SCHEME).partition("/")[0]):
            raise ValueError(f"store must be like s3://bucket/prefix, got {shown}.")
    elif "://" in address or address.startswith("s3//"):
        raise ValueError(f"store must be a folder or s3://bucket/prefix, got {shown}.")
    else:
        check_folder("store", Path(address), rule="a folder or s3://bucket/prefix")


def check_folder(field: str, folder: Path, *, rule: str = "a folder") -> None:
    """Check that a path can be the path of a folder, which need not exist.

    Args:
        field: The name of the setting, for the message.
        folder: The path.
        rule: The description of a valid value, with which the message completes "FIELD must be ...".

    Raises:
        ValueError: If the path looks like an address, begins with an unexpanded ``~``, or cannot be a path at all.
    """
    refusal = f"{field} must be {rule}, got {plain_path(folder)}"
    first = folder.parts[0] if folder.parts else ""
    # Otherwise a mistyped s3:// address would become a local folder with the name "s3:".
    if ":" in first:
        raise ValueError(f"{refusal}; for a folder with a colon in its name, give the whole path.")
    if first.startswith("~"):
        raise ValueError(f"{refusal}; the shell replaces ~ by your home folder only if it is not quoted.")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in folder.parts):
        raise ValueError(f"{refusal}; a name in a path has at most {_MAX_NAME_BYTES} bytes.")
    if len(os.fsencode(folder.absolute())) > _MAX_PATH_BYTES:
        raise ValueError(f"{refusal}; a path has at most {_MAX_PATH_BYTES:,} bytes, with room for the artifacts below.")
    if any(character < " " or character == "\x7f" for character in str(folder)):
        raise ValueError(f"{refusal}; a path cannot contain a control character, such as a line break.")
