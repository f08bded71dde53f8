"""Warning events about a job and its pods, requested while the job is starting, because they may explain a delay."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.client import EVENTS, Cluster

_INTERVAL_SECONDS: Final = 2.0

FieldSelector = Mapping[str, str]


class EventPoller:
    """Polls events in a thread of its own, because a slow answer must not delay the watches of job and pods."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        on_events: Callable[[Sequence[Mapping[str, Any]]], None],
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._cluster, self._on_events, self._interval_seconds = cluster, on_events, interval_seconds
        self._selectors: tuple[FieldSelector, ...] = ()
        self._is_wanted = threading.Event()
        self._is_stopped = threading.Event()
        threading.Thread(target=self._poll, daemon=True, name="events").start()

    def select(self, selectors: Sequence[FieldSelector]) -> None:
        """Poll the events that match these selectors from now on; none if there are no selectors."""
        self._selectors = tuple(selectors)
        if self._selectors:
            self._is_wanted.set()
        else:
            self._is_wanted.clear()

    def stop(self) -> None:
        """End the thread."""
        self._is_stopped.set()
        self._is_wanted.set()

    def _poll(self) -> None:
        while not self._is_stopped.wait(self._interval_seconds):
            self._is_wanted.wait()
            if self._is_stopped.is_set():
                return
            try:
                found = [
                    event
                    for fields in self._selectors
                    for event in self._cluster.list(EVENTS, fields=fields).get("items") or []
                    if event.get("type") == "Warning"
                ]
            except ClusterRefusedError:
                # Some Roles do not allow events. Reasons that only events contain are then not printed.
                return
            except ClusterUnavailableError:
                continue
            self._on_events(found)
