"""Sealed checkpoints: safetensors files whose metadata contain the SHA-256 of the file itself.

The SHA-256 is computed over the file with zeros in place of the digest. The module needs no torch, because a search for
an intact checkpoint reads only bytes.
"""

import hashlib
from pathlib import Path
from typing import Final

SEAL: Final = "sha256"
UNSEALED: Final = "0" * 64
"""The value of ``SEAL`` in the metadata until the file is sealed."""

_KEY: Final = f'"{SEAL}":"'.encode()
_CHUNK_BYTES: Final = 2**20


def seal(path: Path) -> None:
    """Write the digest into a finished file, whose metadata must contain ``UNSEALED`` under the name ``SEAL``."""
    start = _find_seal(path)
    if start is None:
        raise ValueError(f"{path.name} must have a place for its digest in its metadata.")
    digest = _digest(path, start)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(digest)


def is_intact(path: Path) -> bool:
    """Return whether a file exists and has not changed since it was sealed."""
    try:
        start = _find_seal(path)
        if start is None:
            return False
        with path.open("rb") as file:
            file.seek(start)
            return file.read(len(UNSEALED)) == _digest(path, start)
    except FileNotFoundError:
        return False


def _find_seal(path: Path) -> int | None:
    """Return the position of the digest in a file; None if the file has no digest.

    A safetensors file starts with eight bytes that contain the length of its JSON header.
    """
    with path.open("rb") as file:
        num_header_bytes = int.from_bytes(file.read(8), "little")
        if num_header_bytes > path.stat().st_size:
            return None
        found = file.read(num_header_bytes).find(_KEY)
    return None if found < 0 else 8 + found + len(_KEY)


def _digest(path: Path, start: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(start))
        digest.update(UNSEALED.encode())
        file.seek(start + len(UNSEALED))
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest().encode()
