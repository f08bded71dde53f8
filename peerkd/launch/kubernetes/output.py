"""The output of a launcher: the lines of its workers, and the error message if the job fails."""

import queue
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final

from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes.assessment import Assessment
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.history import PodHistory
from peerkd.launch.kubernetes.kinds.kind import JobKind, name_of, uid_of
from peerkd.metrics.progress import LINE_PREFIX

_NUM_KEPT_LINES: Final = 40
_NUM_WAITING_LINES: Final = 2000
_NUM_LINES_OF_FAILURE: Final = 20
_CONTROL_CHARACTERS: Final = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160)) if code != 9}
"""The translation that replaces control characters.

The output of a worker may come from the code or the data of other people, and must not control the user's terminal."""


def with_worker(line: str, worker: int, *, num_workers: int) -> str:
    """Insert the index of a worker into one of its output lines, and return the line.

    The index is not inserted into progress lines of a job that has only one worker.
    """
    if line.startswith(LINE_PREFIX):
        if num_workers == 1:
            return line
        stage, separator, text = line.removeprefix(LINE_PREFIX).strip().partition(":")
        return f"{LINE_PREFIX} {stage}: [worker {worker}]{text}" if separator else f"{line} [worker {worker}]"
    return f"[worker {worker}] {line}"


class Printer:
    """Prints lines in a thread of its own, and keeps the last lines of each worker.

    Because of the thread, a slow reader of the output does not delay the observation of the job.
    """

    def __init__(self, *, num_workers: int, write: Callable[[str], object] | None = None) -> None:
        self._num_workers = num_workers
        self._write = write or _write_line
        self._waiting: queue.Queue[str] = queue.Queue(_NUM_WAITING_LINES)
        self._kept: dict[int, deque[str]] = defaultdict(lambda: deque(maxlen=_NUM_KEPT_LINES))
        threading.Thread(target=self._print, daemon=True, name="printer").start()

    def take(self, worker: int, line: str) -> None:
        """Print and keep a worker's line, without control characters other than tabs.

        If the reader of the output is slow, this call waits, so that no line is lost.
        """
        line = line.translate(_CONTROL_CHARACTERS)
        self._kept[worker].append(line)
        self._waiting.put(with_worker(line, worker, num_workers=self._num_workers))

    def print_line(self, stage: str, text: str) -> None:
        """Print a line of the launcher itself, or drop it if the reader is so slow that the buffer is full."""
        try:
            self._waiting.put(f"{LINE_PREFIX} {stage}: {text}", timeout=0.1)
        except queue.Full:
            return

    def last_lines(self, worker: int) -> Sequence[str]:
        """Return the last lines of a worker, without its progress lines."""
        return [line for line in self._kept[worker] if not line.startswith(LINE_PREFIX)]

    def flush(self, *, timeout_seconds: float) -> None:
        """Wait until all lines are printed, but no longer than the timeout."""
        end = time.monotonic() + timeout_seconds
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)

    def _print(self) -> None:
        while True:
            line = self._waiting.get()
            try:
                self._write(line)
            except (OSError, ValueError):
                # Nobody reads the output any more. The launcher waits for the job nevertheless.
                continue
            finally:
                self._waiting.task_done()


def failure_message(stage: str, job: str, assessment: Assessment, lines: Sequence[str]) -> str:
    """Return the error message for a job that failed.

    Args:
        stage: The stage of the job.
        job: The name of the job.
        assessment: The final assessment of the job.
        lines: The last output lines of the worker that failed first.
    """
    termination_message = assessment.failure.message if assessment.failure else ""
    if "\n" in termination_message:
        # The worker left no message, so the cluster uses the end of the log instead.
        lines, termination_message = lines or termination_message.splitlines(), ""
    reason = f"{assessment.text}: {termination_message}" if termination_message else assessment.text
    message = f"{stage} failed in job {job}: {reason.rstrip('.')}."
    if lines:
        message += "\nIts last lines were:\n" + "\n".join(lines[-_NUM_LINES_OF_FAILURE:])
    return message


def last_lines(
    assessment: Assessment, *, kind: JobKind, cluster: Cluster, history: PodHistory, printer: Printer
) -> Sequence[str]:
    """Return the last output lines of the worker that failed first, or no line if no worker failed.

    The lines are read from the log of the worker's pod. If this fails, they are the lines that ``printer`` has kept.
    """
    if assessment.failure is None:
        return ()
    pod = history.pods.get(assessment.failure.worker)
    if pod is not None and uid_of(pod) == assessment.failure.uid:
        try:
            return list(cluster.logs(name_of(pod), container=kind.container, tail_lines=_NUM_LINES_OF_FAILURE))
        except PeerKDError:
            pass
    return printer.last_lines(assessment.failure.worker)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
