"""The one place where a store's address becomes a store."""

import logging
from collections.abc import Callable
from pathlib import Path

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore

S3_SCHEME = "s3://"


def open_store(
    address: str, *, tell: Callable[[str], None] | None = None, count_failure: Callable[[], None] = lambda: None
) -> ArtifactStore:
    """Return the store at an address: a folder, or ``s3://bucket/prefix`` on the server that the environment names.

    Args:
        address: The address.
        tell: Is given a sentence when a distant store does not answer; without it, that is logged as a warning.
        count_failure: Is called for each request to a distant store that fails, even if it is repeated.

    Raises:
        ValueError: If the address is empty or has a scheme that no backend serves, or the environment lacks what the
            store needs.
    """
    if not address:
        raise ValueError("store must be a folder or s3://bucket/prefix, got an empty text.")
    if address.startswith(S3_SCHEME):
        # Only here, so that a folder needs neither the client nor its memory.
        from peerkd.artifacts.s3 import S3Store, open_bucket

        tell = tell or logging.getLogger("peerkd").warning
        return S3Store(*open_bucket(address, tell=tell, count_failure=count_failure))
    if "://" in address:
        raise ValueError(f"store must be a folder or s3://bucket/prefix, got {address}.")
    return FilesystemStore(Path(address))
