"""The list of the runs of a store as a page, which is written again while a run is in progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from peerkd.stages.store_index import try_write_index

_SECONDS: Final = 10.0
"""The minimum time between two versions of the page within a stage."""

_MAX_FRACTION: Final = 0.02
"""The maximum share of the time of a run that is spent on the page. A store with many runs takes long to list."""


class LiveIndex:
    """Writes the index of a store whenever a stage begins, at most every ten seconds within a stage, and at the end."""

    def __init__(self, address: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._clock = address, clock
        self._first = self._stage = ""
        self._next = 0.0
        self._is_written = False

    def follow(self, stage: str) -> None:
        """Write the page if a stage begins, or if the page is some seconds old.

        The first stage publishes the record of the run at its end, so a new run is listed from the second stage on.
        """
        self._first = self._first or stage
        began_at = self._clock()
        if stage == self._first or (stage == self._stage and began_at < self._next):
            return
        self._stage = stage
        self._write()
        self._next = began_at + max(_SECONDS, (self._clock() - began_at) / _MAX_FRACTION)

    @contextmanager
    def completing(self) -> Iterator[None]:
        """Write the page after the ``with`` block, however it ends, unless a refused run has left no files."""
        try:
            yield
        except BaseException:
            if self._is_written:
                self._write()
            raise
        self._write()

    def _write(self) -> None:
        self._is_written = try_write_index(self._address) or self._is_written
