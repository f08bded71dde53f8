"""The one place where a store's address becomes a store."""

from pathlib import Path

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore


def open_store(address: str) -> ArtifactStore:
    """Return the store at an address: a folder.

    Raises:
        ValueError: If the address is empty or has a scheme that no backend serves.
    """
    if not address:
        raise ValueError("store must be a folder, got an empty text.")
    if "://" in address:
        raise ValueError(f"store must be a folder, got {address}.")
    return FilesystemStore(Path(address))
