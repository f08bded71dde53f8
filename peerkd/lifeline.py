"""A process that ends with another: what was started by a run that is killed must not go on behind the user's back."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Final

EXIT_ABANDONED: Final = 1
_INTERVAL_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 3.0
"""For whoever handles SIGTERM: a launcher deletes its job, a worker saves what it has."""


def end_with(pid: int) -> None:
    """Let this process end soon after the process ``pid``, whatever it is doing then. Returns at once.

    Where it handles SIGTERM, it is sent that first, and has three seconds.
    """
    threading.Thread(target=_watch, args=(pid,), daemon=True).start()


def _watch(pid: int) -> None:
    while _is_alive(pid):
        time.sleep(_INTERVAL_SECONDS)
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_LAST_WORDS_SECONDS)
    os._exit(EXIT_ABANDONED)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        # It has just ended, which the next look finds, or this system has no such file.
        return True
    # After the name, which may hold anything. A dead process that nobody has taken note of, as in a container whose
    # first process takes no note of any, is Z for ever.
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
