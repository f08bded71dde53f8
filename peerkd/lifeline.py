"""A process that ends with another: what was started by a run that is killed must not go on behind the user's back."""

import os
import threading
import time
from typing import Final

EXIT_ABANDONED: Final = 1
_INTERVAL_SECONDS: Final = 0.2


def end_with(pid: int) -> None:
    """Let this process end soon after the process ``pid``, whatever it is doing then. Returns at once."""
    threading.Thread(target=_watch, args=(pid,), daemon=True).start()


def _watch(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            os._exit(EXIT_ABANDONED)
        time.sleep(_INTERVAL_SECONDS)
