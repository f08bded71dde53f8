"""A check of a bucket: it tries each kind of request once, on objects that it deletes afterwards."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from peerkd.artifacts.s3 import open_bucket
from peerkd.artifacts.s3_errors import ConditionError, NoConditionsError
from peerkd.artifacts.s3_transfer import Download, download_files, upload_file
from peerkd.errors import StoreUnavailableError

_PART_BYTES: Final = 5 * 1024**2
"""The size of the parts in the check. It is the smallest that S3 accepts for all parts but the last."""


def s3_steps(address: str, *, patience_seconds: float) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the name of each step of the check and a function that carries it out, in order.

    Such a function returns the result in words, and raises an error if the step fails. When the generator is closed, it
    deletes the objects that the steps have written.

    Raises:
        ValueError: If the address is not valid, or the environment names no valid server or credentials.
    """
    bucket, prefix = open_bucket(
        address, notify=lambda text: None, patience_seconds=patience_seconds, part_bytes=_PART_BYTES
    )
    probe = f"{prefix}/probe-{secrets.token_hex(8)}/".lstrip("/")
    small, large = f"{probe}small", f"{probe}large"

    def put() -> str:
        bucket.put(small, b"peerkd")
        return f"wrote to {address}"

    def get() -> str:
        if bucket.get(small) != b"peerkd":
            raise ValueError(
                f"{address} must return what was written to it; check which server PEERKD_S3_ENDPOINT names."
            )
        return "read what was written"

    def condition() -> str:
        try:
            bucket.put(small, b"other", only_new=True)
        except (ConditionError, NoConditionsError):
            return "keeps what is published" if bucket.get(small) == b"peerkd" else "changed what is published"
        return "does not know If-None-Match: of two who publish within a moment, the later one wins"

    def multipart() -> str:
        with tempfile.TemporaryDirectory() as folder:
            path, copy = Path(folder, "large"), Path(folder, "copy")
            path.write_bytes(os.urandom(_PART_BYTES + 1))
            upload_file(bucket, path, large)
            stored = bucket.head(large)
            if stored is None:
                raise ValueError(f"{address} must store what is uploaded in parts, got nothing.")
            download_files(bucket, [Download(name=large, stored=stored, path=copy)])
            if copy.read_bytes() != path.read_bytes():
                raise ValueError(f"{address} must return what was uploaded in parts, got something else.")
        return "wrote two parts and read two ranges"

    def list_names() -> str:
        names = set(bucket.names(probe))
        if names != {small, large}:
            raise ValueError(f"{address} must list the 2 objects that were written, got {len(names)}.")
        return "found what was written"

    def delete() -> str:
        bucket.delete([small, large])
        left = len(bucket.names(probe))
        if left:
            raise ValueError(f"{address} must delete objects on request, got {left} that remain.")
        return "left nothing"

    try:
        yield "put", put
        yield "get", get
        yield "condition", condition
        yield "multipart", multipart
        yield "list", list_names
        yield "delete", delete
    finally:
        with suppress(ValueError, StoreUnavailableError):
            bucket.with_time_limit(0).delete([small, large])
