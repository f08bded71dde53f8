"""A watch that ends this process soon after another process has ended, so that no process outlives a killed run."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

EXIT_ABANDONED: Final = 1
_INTERVAL_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 3.0
"""The time that a handler of SIGTERM has: a launcher deletes its job, and a worker saves its progress."""


def end_with(pid: int, *, file: Path | None = None) -> None:
    """Start a thread that ends this process soon after the process ``pid`` has ended.

    If this process handles SIGTERM, it first receives that signal and has three seconds to end by itself.

    Args:
        pid: The id of the other process.
        file: A file that the other process deletes when it no longer needs this process. None, or a file that does not
            exist: only the end of the other process counts.
    """
    kept = file if file is not None and file.exists() else None
    threading.Thread(target=_watch, args=(pid, kept), daemon=True).start()


def _watch(pid: int, file: Path | None) -> None:
    while _is_alive(pid) and (file is None or file.exists()):
        time.sleep(_INTERVAL_SECONDS)
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
    os._exit(EXIT_ABANDONED)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    values = read_stat(pid)
    # Without values, the process has just ended, which the next check will find, or this system has no such file. A
    # process that has ended remains in state Z until its parent waits for it, which in some containers never happens.
    return values is None or values[0] not in ("Z", "X")


def read_stat(pid: int) -> list[str] | None:
    """Return what the kernel of Linux says about a process in ``/proc/<pid>/stat``, from the state of the process on.

    Return None if there is no such process, or on a system that has no such file.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The state follows the name, which may contain any character.
    return text.rpartition(")")[2].split()
