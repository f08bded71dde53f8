"""Deletion in a store in S3. S3 has no locks, so the age of an object shows whether a run may still need it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from peerkd.artifacts.cleaning import StoreCleaner, is_leftover
from peerkd.artifacts.s3_bucket import Bucket, Listed
from peerkd.artifacts.s3_workspace import ObjectNames

_NUM_LISTS: Final = 3
"""The number of times that the objects below a prefix are listed and deleted, because one list may be stale."""


class S3Cleaner:
    """The ``StoreCleaner`` of a store below a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket, self._names = bucket, ObjectNames(prefix)

    @property
    def address(self) -> str:
        """The address of the store: ``s3://bucket/prefix``."""
        return self._names.address(self._bucket.name)

    @contextmanager
    def unused(self) -> Iterator[None]:
        """Do nothing, because S3 has no locks. ``seconds_since_change`` shows what may be in use."""
        yield

    def leftovers(self) -> Mapping[str, int]:
        """Return the size in bytes of each workspace and each damaged artifact, by its name in the store."""
        found = {name: sum(each.num_bytes for each in parts) for name, parts in self._objects.items()}
        return {name: found[name] for name in sorted(found) if is_leftover(name)}

    def seconds_since_change(self, name: str) -> float | None:
        """Return how many seconds ago an object of an artifact or a workspace was last written; None if none exists.

        The clock of the server may differ from the clock of this machine. S3 refuses requests if the two differ by more
        than 15 minutes.
        """
        parts = self._objects.get(name)
        if not parts:
            return None
        return (datetime.now(UTC) - max(each.changed_at for each in parts)).total_seconds()

    def delete_artifacts(self, keys: Iterable[str]) -> None:
        """Delete artifacts in the given order, the manifest of each before its other objects."""
        for key in keys:
            self._bucket.delete([self._names.manifest(key)])
            self._delete_below(self._names.published(key))

    def delete_leftovers(self, names: Iterable[str]) -> None:
        """Delete workspaces and damaged artifacts that ``leftovers`` has returned."""
        for name in names:
            self._delete_below(self._names.published(name))

    @cached_property
    def _objects(self) -> Mapping[str, list[Listed]]:
        """The objects of each artifact and each workspace, by its key or its name."""
        below = self._names.below("")
        objects: dict[str, list[Listed]] = {}
        for name, listed in self._bucket.describe_once(below).items():
            kind, _, rest = name.removeprefix(below).partition("/")
            objects.setdefault(f"{kind}/{rest.partition('/')[0]}", []).append(listed)
        return objects

    def _delete_below(self, prefix: str) -> None:
        for _ in range(_NUM_LISTS):
            left = self._bucket.list_once(prefix)
            if not left:
                return
            self._bucket.delete(left)


if TYPE_CHECKING:

    def _(cleaner: S3Cleaner) -> StoreCleaner:
        return cleaner
