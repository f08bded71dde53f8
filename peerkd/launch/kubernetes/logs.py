"""Following what workers print, across broken connections: no line twice, none lost, no watch held up."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.jobs import name_of, read_time, uid_of
from peerkd.launch.kubernetes.pods import Pod, has_log, is_over
from peerkd.launch.patience import FORGIVENESS_SECONDS

_STATUS_NOT_FOUND: Final = 404
_STATUS_FORBIDDEN: Final = 403
_PAUSE_SECONDS: Final = 1.0


class Place:
    """A place in a stream of lines with times, which finds itself again when the stream begins anew a little earlier.

    The API begins with a whole second, and lines may have the same time; so the last time is kept, and how many lines
    had it.
    """

    def __init__(self) -> None:
        self.last: datetime | None = None
        self._last_text: str | None = None
        self._num_with_last = 0

    @property
    def since_time(self) -> str | None:
        """What to ask the API for."""
        return self._last_text

    def new_lines(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield those lines of a stream, without their times, that earlier streams did not have."""
        seen_until, num_to_skip = self.last, self._num_with_last
        for each in lines:
            text, _, line = each.partition(" ")
            try:
                time = read_time(text)
            except ValueError:
                # Not a line of the container but a word of the kubelet's.
                continue
            if seen_until is not None and time is not None:
                if time < seen_until:
                    continue
                if time == seen_until and num_to_skip:
                    num_to_skip -= 1
                    continue
                # From here on everything is new, even if the node's clock should go back.
                seen_until = None
            if time == self.last:
                self._num_with_last += 1
            else:
                self.last, self._last_text, self._num_with_last = time, text, 1
            yield line


@dataclass(slots=True)
class _Follower:
    worker: int
    pod: str
    thread: threading.Thread | None = None
    is_over: threading.Event = field(default_factory=threading.Event)
    is_open: bool = False


class LogFollowers:
    """Follows the log of each pod, with one thread for each."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        take: Callable[[int, str], None],
        pause_seconds: float = _PAUSE_SECONDS,
        silence_seconds: float = 300,
    ) -> None:
        self._cluster, self._take = cluster, take
        self._pause_seconds, self._silence_seconds = pause_seconds, silence_seconds
        self._followers: dict[str, _Follower] = {}
        self._is_stopped = threading.Event()

    @property
    def is_listening(self) -> bool:
        """Whether at least one stream is open."""
        return any(follower.is_open for follower in self._followers.values())

    def see(self, pod: Pod, *, is_gone: bool = False) -> None:
        """Begin to follow a pod once it has something to say; know when it has said all."""
        follower = self._followers.get(uid_of(pod))
        if follower is None and has_log(pod) and not is_gone:
            follower = self._followers[uid_of(pod)] = _Follower(names.worker_of(pod), name_of(pod))
            follower.thread = threading.Thread(
                target=self._follow, args=(follower,), daemon=True, name=f"logs-{name_of(pod)}"
            )
            follower.thread.start()
        if follower is not None and (is_gone or is_over(pod)):
            follower.is_over.set()

    def finish(self, *, timeout_seconds: float) -> None:
        """Wait for what pods that have ended still had to say, but not for long; then follow nothing any more."""
        ended = [each.thread for each in self._followers.values() if each.is_over.is_set() and each.thread]
        for thread in ended:
            thread.join(timeout_seconds / len(ended))
        self._is_stopped.set()

    def _follow(self, follower: _Follower) -> None:
        place, num_refused = Place(), 0
        while not self._is_stopped.is_set():
            # Asked before the stream is opened: what is said between the two must not be missed.
            was_over = follower.is_over.is_set()
            try:
                stream = self._cluster.logs(
                    follower.pod,
                    container=names.CONTAINER,
                    since_time=place.since_time,
                    follow=True,
                    timestamps=True,
                    silence_seconds=self._silence_seconds,
                )
                follower.is_open = True
                for line in place.new_lines(stream):
                    num_refused = 0
                    self._take(follower.worker, line)
                    if self._is_stopped.is_set():
                        return
                if was_over:
                    return
            except ClusterRefusedError as error:
                # A server that has just started may refuse known users for a moment.
                num_refused += 1
                is_over = follower.is_over.is_set() or num_refused * self._pause_seconds > FORGIVENESS_SECONDS
                if error.status == _STATUS_NOT_FOUND or (error.status == _STATUS_FORBIDDEN and is_over):
                    return
            except ClusterUnavailableError:
                # The watches of job and pods say so, and give up in the end; here it only means to try again.
                pass
            finally:
                follower.is_open = False
            follower.is_over.wait(self._pause_seconds) or self._is_stopped.wait(0)
