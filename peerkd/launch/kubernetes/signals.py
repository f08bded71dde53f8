"""The launcher's reaction to SIGTERM and SIGINT: it only deletes its job, because it has about a second."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final

from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes.client import Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import name_of, uid_of

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_TIMEOUT_SECONDS: Final = 0.8
_NUM_TRIES: Final = 2


class DeleteOnSignal:
    """A context manager in which SIGTERM or SIGINT deletes the launcher's job and ends the process with 143 or 130.

    The context manager needs a client of the cluster that the main thread does not use. A signal interrupts the main
    thread at any point, and the handler would wait forever for a lock of a client that the main thread is using. The
    handler prints nothing, because the reader of the output may be gone. Only the main thread receives signals, so in
    any other thread the context manager does nothing.
    """

    def __init__(self, cluster: Cluster, resource: Resource) -> None:
        self._cluster, self._resource = cluster, resource
        self._job: tuple[str, str] | None = None
        self._is_creating = False
        self._pending: int | None = None
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "DeleteOnSignal":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def set_job(self, name: str, uid: str) -> None:
        """Set the job that a signal deletes."""
        self._job = (name, uid)

    def clear_job(self) -> None:
        """Forget the job, so that a signal deletes none."""
        self._job = None

    def create(self, create: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the job that ``create`` creates. A signal that arrives meanwhile is handled after ``create``.

        ``create`` may call ``set_job``, so that the job is deleted even if ``create`` fails after its creation.
        Otherwise the request to delete the job could reach the server before the request to create it, and the job
        would remain.
        """
        self._is_creating = True
        try:
            job = create()
            self._job = (name_of(job), uid_of(job))
        finally:
            self._is_creating = False
            if self._pending is not None:
                self._handle(self._pending, None)
        return job

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_creating:
            self._pending = number
            return
        if self._job is not None:
            name, uid = self._job
            for _ in range(_NUM_TRIES):
                # The first request may use a connection that the server has closed.
                with contextlib.suppress(PeerKDError):
                    self._cluster.delete(self._resource, name, uid=uid, timeout_seconds=_TIMEOUT_SECONDS)
                    break
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
