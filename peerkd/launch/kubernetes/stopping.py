"""What happens when the launcher is told to stop. It has about a second: the first and only act is the delete."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_TIMEOUT_SECONDS: Final = 0.8
_NUM_TRIES: Final = 2


class StopSwitch:
    """While entered, a signal to stop deletes the job that is waited for and ends the process with 143 or 130.

    It has a client of its own, made beforehand: the signal interrupts whatever the main thread does, and so must not
    wait for a lock that this very thread holds. It prints nothing, since whoever read may be gone.

    Signals reach only a main thread; elsewhere this does nothing.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._job: tuple[str, str] | None = None
        self._is_making = False
        self._pending: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSwitch":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def guard(self, name: str, uid: str) -> None:
        """Set the job to delete from now on."""
        self._job = (name, uid)

    def unguard(self) -> None:
        """There is no job to delete any more."""
        self._job = None

    def make(self, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the job that ``make`` makes; told to stop meanwhile, wait for it and then delete it.

        A delete that overtook the request to create would find nothing, and the job would come after it.
        """
        self._is_making = True
        try:
            job = make()
            self._job = (job["metadata"]["name"], job["metadata"]["uid"])
        finally:
            self._is_making = False
            if self._pending is not None:
                self._stop(self._pending, None)
        return job

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._is_making:
            self._pending = number
            return
        if self._job is not None:
            name, uid = self._job
            for _ in range(_NUM_TRIES):
                # The first try may find a connection that the other side has closed meanwhile.
                with contextlib.suppress(PeerKDError):
                    self._cluster.delete(PYTORCHJOBS, name, uid=uid, timeout_seconds=_TIMEOUT_SECONDS)
                    break
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
