"""Observations of a cluster: watches of objects, which survive broken connections, and polls of warning events."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError, PeerKDError
from peerkd.launch.kubernetes.answers import version_of
from peerkd.launch.kubernetes.client import EVENTS, Cluster, Resource
from peerkd.launch.retries import ClusterRetries

_STATUS_GONE: Final = 410
_WATCH_SECONDS: Final = 30.0
"""The time after which a watch is ended and begun again, so that a connection that died silently is noticed."""

_POLL_SECONDS: Final = 2.0

FieldSelector = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobObservation:
    """One observation of a watcher or a poller."""

    resource: Resource
    kind: Literal["LIST", "CHANGE", "UNAVAILABLE", "GIVEN_UP"]
    """The kind of the observation.

    LIST: ``items`` are all existing objects. CHANGE: ``items`` is one object that has changed. UNAVAILABLE: the API
    does not answer. GIVEN_UP: the API has not answered for so long that the watcher has ended."""

    items: tuple[Mapping[str, Any], ...] = ()
    change: str = ""
    """The type of a CHANGE: ADDED, MODIFIED or DELETED."""

    error: PeerKDError | None = None


class Watcher:
    """Observes the objects of one resource in a thread of its own, and passes each observation on, in order.

    It lists the objects, then watches for changes, and begins again whenever the connection breaks.
    """

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        *,
        on_observation: Callable[[JobObservation], None],
        retries: ClusterRetries,
        labels: Mapping[str, str] | None = None,
        fields: FieldSelector | None = None,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        self._cluster, self._resource, self._retries = cluster, resource, retries
        self._on_observation = on_observation
        self._labels, self._fields, self._watch_seconds = labels, fields, watch_seconds
        self._is_stopped = threading.Event()
        self._version: str | None = None

    def start(self) -> None:
        """Start the thread, which does not keep the process alive."""
        threading.Thread(target=self.follow, daemon=True, name=f"watch-{self._resource.plural}").start()

    def stop(self) -> None:
        """Stop passing on observations. The thread ends when its current watch ends."""
        self._is_stopped.set()

    def follow(self) -> None:
        """List and watch until ``stop`` is called or the API has not answered for too long."""
        while not self._is_stopped.is_set():
            try:
                if self._version is None:
                    self._list()
                    # If the API answers lists but no watches, requests become less frequent, and the watcher does not
                    # give up.
                    self._retries.answered()
                self._watch()
                self._retries.succeeded()
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                if not self._wait_after(error):
                    return

    def _wait_after(self, error: ClusterUnavailableError | ClusterRefusedError) -> bool:
        """Wait before the next attempt, and return True.

        Return False if errors have lasted so long that there is no next attempt.
        """
        if isinstance(error, ClusterRefusedError) and error.status == _STATUS_GONE:
            # The API no longer knows this version, which is not an error.
            self._version, error = None, ClusterUnavailableError(str(error))
        elif self._retries.has_failed:
            self._pass_on(JobObservation(self._resource, "UNAVAILABLE", error=error))
        try:
            self._retries.failed(error)
        except PeerKDError as last:
            self._pass_on(JobObservation(self._resource, "GIVEN_UP", error=last))
            return False
        return True

    def _list(self) -> None:
        answer = self._cluster.list(self._resource, labels=self._labels, fields=self._fields)
        version = version_of(answer)
        self._pass_on(JobObservation(self._resource, "LIST", items=tuple(answer["items"])))
        self._version = version

    def _watch(self) -> None:
        assert self._version is not None
        for change, obj in self._cluster.watch(
            self._resource,
            labels=self._labels,
            fields=self._fields,
            resource_version=self._version,
            timeout_seconds=self._watch_seconds,
        ):
            if self._is_stopped.is_set():
                return
            version = version_of(obj)
            self._retries.succeeded()
            if change != "BOOKMARK":
                self._pass_on(JobObservation(self._resource, "CHANGE", items=(obj,), change=change))
            self._version = version

    def _pass_on(self, observation: JobObservation) -> None:
        if not self._is_stopped.is_set():
            self._on_observation(observation)


class EventPoller:
    """Polls warning events in a thread of its own, because a slow response must not delay the watches.

    ``select`` chooses the events. The monitor of a job selects events only while the job is starting, because they may
    explain why it has not started.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        on_observation: Callable[[JobObservation], None],
        interval_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._cluster, self._on_observation, self._interval_seconds = cluster, on_observation, interval_seconds
        self._selectors: tuple[FieldSelector, ...] = ()
        self._is_wanted = threading.Event()
        self._is_stopped = threading.Event()
        threading.Thread(target=self._poll, daemon=True, name="events").start()

    def select(self, selectors: Sequence[FieldSelector]) -> None:
        """Set which events are polled from now on: the events that match a selector.

        If there are no selectors, nothing is polled.
        """
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
                    for event in self._cluster.list(EVENTS, fields=fields)["items"]
                    if event.get("type") == "Warning"
                ]
            except ClusterRefusedError:
                # Some Roles do not allow events. Reasons that only events contain are then not printed.
                return
            except ClusterUnavailableError:
                continue
            self._on_observation(JobObservation(EVENTS, "LIST", tuple(found)))
