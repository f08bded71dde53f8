"""The cluster's warnings about a job and its pods, asked for while there is something that they might explain."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.client import EVENTS, Cluster

_INTERVAL_SECONDS: Final = 2.0
_NUM_SUBJECTS: Final = 5
"""Asked about at most; what hinders one pod mostly hinders all."""


class Warnings:
    """Asks in a thread of its own, since a slow answer must not hold up the watch for the end."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        tell: Callable[[Sequence[Mapping[str, Any]]], None],
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        self._cluster, self._tell, self._interval_seconds = cluster, tell, interval_seconds
        self._subjects: tuple[str, ...] = ()
        self._is_wanted = threading.Event()
        self._is_stopped = threading.Event()
        threading.Thread(target=self._ask, daemon=True, name="warnings").start()

    def about(self, uids: Sequence[str]) -> None:
        """Ask about these objects from now on; about nothing if there are none."""
        self._subjects = tuple(uids[:_NUM_SUBJECTS])
        if self._subjects:
            self._is_wanted.set()
        else:
            self._is_wanted.clear()

    def stop(self) -> None:
        """Ask nothing any more."""
        self._is_stopped.set()
        self._is_wanted.set()

    def _ask(self) -> None:
        while not self._is_stopped.wait(self._interval_seconds):
            self._is_wanted.wait()
            if self._is_stopped.is_set():
                return
            try:
                found = [
                    event
                    for uid in self._subjects
                    for event in self._cluster.list(EVENTS, fields={"involvedObject.uid": uid}).get("items") or []
                    if event.get("type") == "Warning"
                ]
            except ClusterRefusedError:
                # Not every Role allows events; then reasons that only they tell are not told.
                return
            except ClusterUnavailableError:
                continue
            self._tell(found)
