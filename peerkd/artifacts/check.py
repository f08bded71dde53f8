"""A check that an artifact store supports every operation that runs need."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from peerkd.artifacts.filesystem import check_writable
from peerkd.artifacts.open import S3_SCHEME, open_store
from peerkd.errors import StoreUnavailableError


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreCheckResult:
    """The result of one step of the check."""

    name: str
    passed: bool
    text: str
    """The result in words: for a failure, the problem and how to fix it."""


def check_store(address: str, *, patience_seconds: float = 10.0) -> list[StoreCheckResult]:
    """Try each operation that runs need on a store, and return the results in the order of the operations.

    The operations on a bucket are: write, read, write under a condition, write in parts, list, and delete. The only
    operation on a folder is to write. The check ends at the first operation that fails. Everything that the check has
    written is deleted.

    Args:
        address: The address of the store.
        patience_seconds: The time for which a failed request to a bucket is repeated.
    """
    return list(_tried(_steps(address, patience_seconds=patience_seconds)))


def _tried(steps: Generator[tuple[str, Callable[[], str]], None, None]) -> Iterator[StoreCheckResult]:
    name = "address"
    with closing(steps):
        try:
            for name, step in steps:
                yield StoreCheckResult(name=name, passed=True, text=step())
        except (ValueError, StoreUnavailableError) as error:
            yield StoreCheckResult(name=name, passed=False, text=str(error))


def _steps(address: str, *, patience_seconds: float) -> Generator[tuple[str, Callable[[], str]], None, None]:
    if address.startswith(S3_SCHEME):
        from peerkd.artifacts.s3_check import s3_steps

        yield from s3_steps(address, patience_seconds=patience_seconds)
        return

    def write() -> str:
        check_writable(Path(address))
        return f"{address} can be written"

    open_store(address)
    yield "put", write
