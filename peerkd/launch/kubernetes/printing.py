"""What a person sees of the workers: each line with the worker it is from. A reader that is slow holds up no watch."""

import queue
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final

from peerkd.metrics.progress import LINE_PREFIX

_NUM_KEPT_LINES: Final = 40
_NUM_WAITING_LINES: Final = 2000
_CONTROL_CHARACTERS: Final = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code != 9}
"""Characters that could control the terminal: a worker runs code and reads data of other people."""


def with_worker(line: str, worker: int, *, num_workers: int) -> str:
    """Return a worker's line with the worker's number; progress of a worker that is alone needs none."""
    if line.startswith(LINE_PREFIX):
        if num_workers == 1:
            return line
        stage, separator, told = line.removeprefix(LINE_PREFIX).strip().partition(":")
        return f"{LINE_PREFIX} {stage}: [worker {worker}]{told}" if separator else f"{line} [worker {worker}]"
    return f"[worker {worker}] {line}"


class Printer:
    """Prints lines in a thread of its own, and keeps each worker's last ones."""

    def __init__(self, *, num_workers: int, write: Callable[[str], object] | None = None) -> None:
        self._num_workers = num_workers
        self._write = write or _write_line
        self._waiting: queue.Queue[str] = queue.Queue(_NUM_WAITING_LINES)
        self._kept: dict[int, deque[str]] = defaultdict(lambda: deque(maxlen=_NUM_KEPT_LINES))
        threading.Thread(target=self._print, daemon=True, name="printer").start()

    def take(self, worker: int, line: str) -> None:
        """Print and keep a worker's line, without control characters but tabs.

        Waits if the reader is slow, as that worker's stream then does.
        """
        line = line.translate(_CONTROL_CHARACTERS)
        self._kept[worker].append(line)
        self._waiting.put(with_worker(line, worker, num_workers=self._num_workers))

    def say(self, stage: str, text: str) -> None:
        """Print a line of the launcher's own; drop it if the reader has long been slow."""
        try:
            self._waiting.put(f"{LINE_PREFIX} {stage}: {text}", timeout=0.1)
        except queue.Full:
            return

    def last_lines(self, worker: int) -> Sequence[str]:
        """Return the last lines of a worker, without its progress."""
        return [line for line in self._kept[worker] if not line.startswith(LINE_PREFIX)]

    def flush(self, *, timeout_seconds: float) -> None:
        """Wait until all is printed, but not for long."""
        end = time.monotonic() + timeout_seconds
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _print(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                self._write(line)
            except (OSError, ValueError):
                # Nobody reads any more; the job is waited for all the same.
                continue
            finally:
                self._waiting.task_done()


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
