"""How a stage ends with an error: it writes one sentence and an exit code where other processes can read them."""

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

from peerkd.errors import DataSourceError, MachineError, PeerKDError, StoreUnavailableError, WorkerDiedError
from peerkd.excerpt import plain
from peerkd.lifeline import end_with
from peerkd.metrics.progress import print_line
from peerkd.system_errors import add_path_to_errors, translate

ERROR_FILE_VARIABLE = "PEERKD_ERROR_FILE"
"""The environment variable with the path of the file to which a stage writes its error.

The process that runs the pipeline reads the file, because a pipeline reports only that a step failed and not why."""

RUNNER_PID_VARIABLE = "PEERKD_RUNNER_PID"
"""The environment variable with the id of the process that runs the pipeline. When that process ends, the stage ends
too."""

TERMINATION_LOG_VARIABLE = "PEERKD_TERMINATION_LOG"
"""The environment variable with the path of the container's termination message file.

A stage writes the sentence of its error to that file, and Kubernetes shows it in the status of the container."""

OUT_OF_MEMORY: Final = "out_of_memory"
"""The key under which a termination message in JSON tells whether the container ran out of memory (true or false)."""

EXIT_USER_ERROR = 2
EXIT_FAILURE = 1
EXIT_MAY_PASS = 138
"""The exit code of an error after which another attempt may succeed.

The training operator replaces a pod that ends with this code. A pod that ends with 1 or 2 is not replaced."""

EXIT_TERMINATED = 143
_TERMINATION_LOG: Final = "/dev/termination-log"
_TERMINATION_LOG_BYTES: Final = 4096
"""The maximum size of a termination message. Kubernetes ignores what exceeds it."""

_ERROR_FILE_BYTES: Final = 16_384
_OOM_COUNTERS: Final = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""The files in which cgroup v2 and cgroup v1 count the processes that were killed for lack of memory.

Both contain a line such as ``oom_kill 3``."""


@contextmanager
def exiting_on_errors(stage: str | Callable[[], str]) -> Iterator[None]:
    """End the process with one sentence and an exit code if the ``with`` block raises a known error.

    The exit code depends on the error:

    - 2 if a user can fix the cause, such as a full disk;
    - 138 if another attempt may succeed: the store did not answer, a process was killed, or memory ran out;
    - 1 for every other ``PeerKDError``.

    Any other exception is a defect of this program. It is not caught, so that its traceback is printed.

    Args:
        stage: The name of the stage, with which the printed sentence begins, or a function that returns it, which is
            called when an error occurs.
    """
    num_kills_before = num_memory_kills()
    try:
        runner = os.environ.get(RUNNER_PID_VARIABLE)
        if runner:
            # A program that calls the pipeline may go on after it has interrupted the pipeline.
            error_file = os.environ.get(ERROR_FILE_VARIABLE)
            end_with(_process_id(runner), file=Path(error_file) if error_file else None)
        yield
    except (ValueError, PeerKDError) as error:
        is_out_of_memory = isinstance(error, WorkerDiedError) and num_memory_kills() > num_kills_before
        _leave(stage, str(error), exit_code(error), is_out_of_memory=is_out_of_memory)
    except Exception as error:
        refusal = translate(error)
        if refusal is None:
            raise
        _leave(stage, str(refusal), exit_code(refusal), is_out_of_memory=False)


def _process_id(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise ValueError(f"{RUNNER_PID_VARIABLE} must be the number of a process, got {plain(text)}.")
    return int(text)


def exit_code(error: ValueError | PeerKDError) -> int:
    """Return the exit code of a stage that ends with an error."""
    match error:
        case ValueError() | DataSourceError():
            return EXIT_USER_ERROR
        case StoreUnavailableError() | WorkerDiedError(was_killed=True) | MachineError(may_pass=True):
            return EXIT_MAY_PASS
    return EXIT_FAILURE


@contextmanager
def exiting_on_sigterm(*, within_seconds: float = 25.0) -> Iterator[None]:
    """Raise ``SystemExit`` in the ``with`` block when SIGTERM arrives.

    The block can thus save its work before the process ends with the exit code 143.

    Args:
        within_seconds: The time after which the process ends even if the block is still saving. Kubernetes kills a
            container after 30 seconds.
    """

    def leave(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        timer = threading.Timer(within_seconds, os._exit, (EXIT_TERMINATED,))
        timer.daemon = True
        timer.start()
        raise SystemExit(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def num_memory_kills(counters: tuple[Path, ...] = _OOM_COUNTERS) -> int:
    """Return how many processes of this container the kernel has killed for lack of memory.

    Args:
        counters: The files that may contain the number. The first that exists is read; if none exists, 0 is returned.
    """
    for path in counters:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
    return 0


def _leave(stage: str | Callable[[], str], message: str, exit_code: int, *, is_out_of_memory: bool) -> None:
    if is_out_of_memory:
        # The kernel kills a child process, not this one, so Kubernetes does not know why the container ends.
        message += " Memory ran out."
    # A full disk must not hide the error.
    with suppress(OSError):
        log = Path(os.environ.get(TERMINATION_LOG_VARIABLE) or _TERMINATION_LOG)
        if log.exists() or TERMINATION_LOG_VARIABLE in os.environ:
            termination_message = json.dumps({"message": message, OUT_OF_MEMORY: True}) if is_out_of_memory else message
            log.write_bytes(termination_message.encode()[:_TERMINATION_LOG_BYTES])
    error_file = os.environ.get(ERROR_FILE_VARIABLE)
    if not (error_file and _write_error(Path(error_file), message, exit_code)):
        print_line(stage if isinstance(stage, str) else stage(), f"error: {message}")
    raise SystemExit(exit_code)


def reserve_error_file(path: Path) -> None:
    """Create the file for an error at its full size, because the disk may be full when the error occurs."""
    with add_path_to_errors(path.parent):
        path.write_bytes(b" " * _ERROR_FILE_BYTES)


def read_error_file(path: Path) -> tuple[str, int] | None:
    """Return the message and the exit code in an error file, or None if no process has written one."""
    try:
        error = json.loads(path.read_bytes())
        return str(error["message"]), int(error["exit_code"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_error(path: Path, message: str, exit_code: int) -> bool:
    content = json.dumps({"message": message, "exit_code": exit_code}).encode()
    try:
        # The existing file is overwritten: the disk may have no space for a new one.
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(content.ljust(_ERROR_FILE_BYTES))
    except OSError:
        return False
    return True
