"""Progress as short, infrequent lines of text, which are readable in a terminal, a pod's log and a pipeline's page.

The process that shows a run to the user receives the lines of all stages as text. ``Counts.read`` finds the counts in
such a line, so that they can be drawn as a bar.
"""

import errno
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Self

from peerkd.metrics import recorder

LINE_PREFIX = "peerkd |"
"""The beginning of every line that peerkd prints for people. It tells these lines from the output of libraries."""

_DISK_IS_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


_WORKER: Final = re.compile(r"worker (\d+): |\[worker (\d+)\] ")
_COUNTS: Final = re.compile(r"([\d,]+) of ([\d,]+) (\w+) \(\d+%\)")

_STUDY: Final = re.compile(r"study (\d+) of (\d+)")
_GAIN: Final = re.compile(r"largest gain on validation so far ([+-][\d.]+) points")

_NOTE: Final = "; "
"""The text between the counts of a line and its note."""

_take: Callable[[str, str], None] | None = None
"""The function that receives the lines of this process; None if the lines are printed."""


class Counts(NamedTuple):
    """The counts in a progress line."""

    num_done: int
    total: int
    unit: str
    """The noun of what is counted, such as ``trials``."""

    @property
    def fraction(self) -> float:
        """The share of the units that are finished, from 0 to 1."""
        return min(1.0, self.num_done / self.total) if self.total else 1.0

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the counts in the text of a line that ``Progress`` wrote, or None for another text."""
        found = _COUNTS.match(text)
        return found and cls(int(found[1].replace(",", "")), int(found[2].replace(",", "")), found[3])

    def __str__(self) -> str:
        """Return the counts as ``Progress`` writes them."""
        return f"{self.num_done:,} of {self.total:,} {self.unit} ({self.fraction:.0%})"


def mark_worker(index: int) -> str:
    """Return the words at the beginning of each line of a worker, if the stage has several workers."""
    return f"worker {index}: "


def split_worker(text: str) -> tuple[int, str]:
    """Return the index of the worker that wrote a line, and the line without the words of ``mark_worker``.

    A line without these words comes from a single worker, which has the index 0.
    """
    found = _WORKER.match(text)
    return (int(found[1] or found[2]), text[found.end() :]) if found else (0, text)


def split_note(text: str) -> tuple[str, str]:
    """Return the part of a line with the counts and their rate, and the note after it; empty if there is no note."""
    counts, _, note = text.partition(_NOTE)
    return (counts, note) if Counts.read(text) else (text, "")


def gain_note(gain: float, *, student: object, teacher: object) -> str:
    """Return the note about the largest gain in validation accuracy so far.

    Args:
        gain: The gain as a fraction.
        student: The number or the name of the student.
        teacher: The number or the name of the teacher.
    """
    return f"largest gain on validation so far {100 * gain:+.1f} points, of student {student} from teacher {teacher}"


def read_gain(text: str) -> float | None:
    """Return the gain, in points, in a line with the note of ``gain_note``, or None for another line."""
    found = _GAIN.search(text)
    return float(found[1]) if found else None


def study_line(number: int, num_studies: int) -> str:
    """Return the line with which a stage begins one of several studies, counted from 1."""
    return f"study {number} of {num_studies}"


def read_study(text: str) -> tuple[int, int] | None:
    """Return the number of a study and the number of all studies in a line of ``study_line``; None for another line."""
    found = _STUDY.fullmatch(text)
    return found and (int(found[1]), int(found[2]))


@contextmanager
def taking_lines(take: Callable[[str, str], None]) -> Iterator[None]:
    """Give the lines that this process would print in the ``with`` block to a function instead.

    Args:
        take: A function that takes the name of a stage and a text. Several threads may call it.
    """
    global _take
    before, _take = _take, take
    try:
        yield
    finally:
        _take = before


def pass_on(stage: str, text: str) -> None:
    """Pass a line of another process to the function of ``taking_lines`` or, without one, write it to stderr."""
    if _take:
        _take(stage, text)
    else:
        sys.stderr.write(f"{stage}: {text}\n")
        sys.stderr.flush()


def print_line(stage: str, text: str) -> None:
    """Print one line for people. If the disk is full, the line is lost and the work continues."""
    try:
        if _take:
            _take(stage, text)
            return
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
        self._note = ""
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

    def note(self, text: str) -> None:
        """Append a text to all further lines, such as the best result so far. It replaces an earlier one."""
        self._note = text

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
        """Count ``num`` units that other workers have finished.

        They are part of the rate. The metric that counts the units that this worker itself has finished does not
        include them.
        """
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
        line = str(Counts(self._num_done, self._total, self._unit))
        if self._num_done < self._total and rate > 0:
            remaining_seconds = (self._total - self._num_done) / rate
            line += f", {_amount(rate)} a second, about {_duration(remaining_seconds)} left"
        elif self._num_done >= self._total:
            line += f" in {_duration(now - self._opened)}"
        return f"{line}{_NOTE}{self._note}" if self._note else line


def _amount(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
