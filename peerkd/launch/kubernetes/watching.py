"""Following objects: a list, then the changes to it, then again, whatever becomes of the connection."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError, PeerKDError
from peerkd.launch.kubernetes.answers import version_of
from peerkd.launch.kubernetes.client import Cluster, Resource
from peerkd.launch.patience import Patience

_STATUS_GONE: Final = 410
_WATCH_SECONDS: Final = 30.0
"""A watch ends and begins anew so often: a connection that died without a word is noticed soon after."""


@dataclass(frozen=True, slots=True)
class News:
    """What a watcher has to tell."""

    resource: Resource
    kind: Literal["LIST", "CHANGE", "TROUBLE", "END"]
    """LIST: all objects there are. CHANGE: one of them. TROUBLE: the API is away. END: it has been for too long."""

    items: tuple[Mapping[str, Any], ...] = ()
    change: str = ""
    """ADDED, MODIFIED or DELETED."""

    error: PeerKDError | None = None


class Watcher:
    """Follows the objects of a kind in a thread of its own, and tells all news to one listener, in order."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        *,
        tell: Callable[[News], None],
        patience: Patience,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        self._cluster, self._resource, self._tell, self._patience = cluster, resource, tell, patience
        self._labels, self._fields, self._watch_seconds = labels, fields, watch_seconds
        self._is_stopped = threading.Event()
        self._version: str | None = None

    def start(self) -> None:
        """Begin. The thread does not keep the process alive."""
        threading.Thread(target=self.follow, daemon=True, name=f"watch-{self._resource.plural}").start()

    def stop(self) -> None:
        """Tell nothing any more; the thread ends with its watch."""
        self._is_stopped.set()

    def follow(self) -> None:
        """List and watch until told to stop, or until patience is over."""
        while not self._is_stopped.is_set():
            try:
                if self._version is None:
                    self._list()
                    # An API that lists but cannot be watched is asked more and more seldom, and not given up.
                    self._patience.answered()
                self._watch()
                self._patience.succeeded()
            except (ClusterUnavailableError, ClusterRefusedError) as error:
                if not self._endure(error):
                    return

    def _endure(self, error: ClusterUnavailableError | ClusterRefusedError) -> bool:
        if isinstance(error, ClusterRefusedError) and error.status == _STATUS_GONE:
            # The version is too old, which is nobody's fault.
            self._version, error = None, ClusterUnavailableError(str(error))
        elif self._patience.is_tried:
            self._say(News(self._resource, "TROUBLE", error=error))
        try:
            self._patience.failed(error)
        except PeerKDError as last:
            self._say(News(self._resource, "END", error=last))
            return False
        return True

    def _list(self) -> None:
        answer = self._cluster.list(self._resource, labels=self._labels, fields=self._fields)
        version = version_of(answer)
        self._say(News(self._resource, "LIST", items=tuple(answer["items"])))
        self._version = version

    def _watch(self) -> None:
        assert self._version is not None
        for kind, seen in self._cluster.watch(
            self._resource,
            labels=self._labels,
            fields=self._fields,
            resource_version=self._version,
            timeout_seconds=self._watch_seconds,
        ):
            if self._is_stopped.is_set():
                return
            version = version_of(seen)
            self._patience.succeeded()
            if kind != "BOOKMARK":
                self._say(News(self._resource, "CHANGE", items=(seen,), change=kind))
            self._version = version

    def _say(self, news: News) -> None:
        if not self._is_stopped.is_set():
            self._tell(news)
