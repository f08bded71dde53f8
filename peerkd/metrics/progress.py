"""Progress as short, infrequent lines of text, which are readable in a terminal, a pod's log and a pipeline's page."""

import errno
import sys
import time
from collections.abc import Callable
from typing import Final

from peerkd.metrics import recorder

LINE_PREFIX = "peerkd |"
"""The beginning of every line that peerkd prints for people. It tells these lines from the output of libraries."""

_DISK_IS_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def print_line(stage: str, text: str) -> None:
    """Print one line for people. If the disk is full, the line is lost and the work continues."""
    try:
        sys.stdout.write(f"{LINE_PREFIX} {stage}: {text}\n")
        sys.stdout.flush()
    except OSError as error:
        if error.errno not in _DISK_IS_FULL:
            raise


class Progress:
    """A counter of finished units of work. Every few seconds it prints how many are finished, and the remaining time.

    The rate includes only units that were finished since this process started, because a resumed run would otherwise
    appear too fast. The counts, and the time of the last progress, are also reported as metrics.
    """

    def __init__(
        self,
        stage: str,
        *,
        unit: str,
        total: int,
        num_done: int = 0,
        interval_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str, str], None] = print_line,
    ) -> None:
        self._stage, self._unit, self._total = stage, unit, total
        self._num_before = self._num_done = num_done
        self._interval_seconds, self._clock, self._write = interval_seconds, clock, write
        self._opened = self._last_said = clock()
        self._rated_since: float | None = None
        self._record()

    def advance(self, num: int = 1) -> None:
        """Count ``num`` more units as finished. Print a line if the interval has passed or all units are finished."""
        now = self._clock()
        if self._rated_since is None:
            # The time of the first unit includes the start of the processes, so it is not part of the rate.
            self._rated_since, self._num_before = now, self._num_before + num
        self._num_done += num
        self._record(num_new=num)
        if self._num_done >= self._total or now - self._last_said >= self._interval_seconds:
            self._last_said = now
            self._write(self._stage, self._line(now, rated_seconds=now - self._rated_since))

    def expect(self, num: int) -> None:
        """Count ``num`` more units that have to be done."""
        self._total += num
        self._record()

    def recover(self, num: int) -> None:
        """Count ``num`` units as finished by an earlier attempt. They are not part of the rate."""
        self._num_before += num
        self._num_done += num
        self._record()

    def follow(self, num: int) -> None:
        """Count ``num`` units that other workers have finished. They change the rate, but not this worker's metric."""
        self._num_done += num
        self._record()
        now = self._clock()
        if self._num_done >= self._total or now - self._last_said >= self._interval_seconds:
            self._last_said = now
            self._write(self._stage, self._line(now, rated_seconds=now - (self._rated_since or self._opened)))

    def _record(self, *, num_new: int = 0) -> None:
        num_left = max(0, self._total - self._num_done)
        recorder.progress(self._unit, num_new=num_new, num_done=self._num_done, num_left=num_left)

    def _line(self, now: float, *, rated_seconds: float) -> str:
        rate = (self._num_done - self._num_before) / rated_seconds if rated_seconds >= self._interval_seconds else 0
        line = f"{self._num_done:,} of {self._total:,} {self._unit} ({self._num_done / self._total:.0%})"
        if self._num_done < self._total and rate > 0:
            remaining_seconds = (self._total - self._num_done) / rate
            line += f", {_amount(rate)} a second, about {_duration(remaining_seconds)} left"
        elif self._num_done >= self._total:
            line += f" in {_duration(now - self._opened)}"
        return line


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
