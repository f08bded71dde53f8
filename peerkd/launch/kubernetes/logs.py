"""Logs of workers, followed across broken connections. No line is repeated or lost.

The logs are read in threads of their own, so a slow log does not delay the observation of the job.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds.kind import JobKind, name_of, read_time, uid_of
from peerkd.launch.kubernetes.pods import Pod, has_finished, has_log
from peerkd.launch.retries import REFUSAL_SECONDS

_STATUS_NOT_FOUND: Final = 404
_STATUS_FORBIDDEN: Final = 403
_PAUSE_SECONDS: Final = 1.0


class LogPosition:
    """The position up to which a log has been read, so that reading can continue when the log is opened again.

    The API can begin a log only at a whole second, and several lines may have the same time. The position therefore
    consists of the time of the last line and the number of lines with that time.
    """

    def __init__(self) -> None:
        self.last: datetime | None = None
        self._last_text: str | None = None
        self._num_with_last = 0

    @property
    def since_time(self) -> str | None:
        """The time from which to request the log, in the API's format; None to request the whole log."""
        return self._last_text

    def new_lines(self, lines: Iterator[str]) -> Iterator[str]:
        """Yield the lines of a stream, except those that were read from an earlier stream.

        The time at the beginning of each line is removed.
        """
        seen_until, num_to_skip = self.last, self._num_with_last
        for each in lines:
            text, _, line = each.partition(" ")
            try:
                time = read_time(text)
            except ValueError:
                # This is a message of the kubelet and not a line of the container.
                continue
            if seen_until is not None and time is not None:
                if time < seen_until:
                    continue
                if time == seen_until and num_to_skip:
                    num_to_skip -= 1
                    continue
                # All further lines are new, even if the clock of the node is set back.
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
    has_ended: threading.Event = field(default_factory=threading.Event)
    is_replaced: threading.Event = field(default_factory=threading.Event)
    is_following: bool = False


class LogFollowers:
    """Reads the logs of a job's pods while they are written, each log in a thread of its own."""

    def __init__(
        self,
        cluster: Cluster,
        kind: JobKind,
        *,
        on_line: Callable[[int, str], None],
        pause_seconds: float = _PAUSE_SECONDS,
        silence_seconds: float = 300,
    ) -> None:
        self._cluster, self._kind, self._on_line = cluster, kind, on_line
        self._pause_seconds, self._silence_seconds = pause_seconds, silence_seconds
        self._followers: dict[str, _Follower] = {}
        self._is_stopped = threading.Event()

    @property
    def is_following(self) -> bool:
        """Whether at least one log is open."""
        return any(follower.is_following for follower in self._followers.values())

    def update(self, pod: Pod, *, is_gone: bool = False) -> None:
        """Start to follow a pod's log once its container has started, and record when the container has ended.

        Args:
            pod: The pod as it was last observed.
            is_gone: Whether the pod no longer exists.
        """
        if not is_gone:
            self._end_followers_of_earlier_pods(pod)
        follower = self._followers.get(uid_of(pod))
        if follower is None and has_log(pod, self._kind) and not is_gone:
            follower = self._followers[uid_of(pod)] = _Follower(self._kind.worker_index(pod), name_of(pod))
            follower.thread = threading.Thread(
                target=self._follow, args=(follower,), daemon=True, name=f"logs-{name_of(pod)}"
            )
            follower.thread.start()
        if follower is not None and (is_gone or has_finished(pod)):
            follower.has_ended.set()

    def finish(self, *, timeout_seconds: float) -> None:
        """Read the rest of the logs of pods that have ended, within the timeout; then stop following."""
        ended = [each.thread for each in self._followers.values() if each.has_ended.is_set() and each.thread]
        for thread in ended:
            thread.join(timeout_seconds / len(ended))
        self._is_stopped.set()

    def _end_followers_of_earlier_pods(self, pod: Pod) -> None:
        """Stop following earlier pods that had the same name as a pod.

        The API finds a log by the name of the pod, so it would now return the log of the new pod instead.
        """
        for uid, follower in self._followers.items():
            if follower.pod == name_of(pod) and uid != uid_of(pod):
                follower.is_replaced.set()
                follower.has_ended.set()

    def _follow(self, follower: _Follower) -> None:
        position, num_refused = LogPosition(), 0
        while not (self._is_stopped.is_set() or follower.is_replaced.is_set()):
            # This is read before the log is opened, so that no line between the two is missed.
            had_ended = follower.has_ended.is_set()
            try:
                stream = self._cluster.logs(
                    follower.pod,
                    container=self._kind.container,
                    since_time=position.since_time,
                    follow=True,
                    timestamps=True,
                    silence_seconds=self._silence_seconds,
                )
                follower.is_following = True
                for line in position.new_lines(stream):
                    if follower.is_replaced.is_set():
                        return
                    num_refused = 0
                    self._on_line(follower.worker, line)
                    if self._is_stopped.is_set():
                        return
                if had_ended:
                    return
            except ClusterRefusedError as error:
                # A server that has just started may refuse known users for a moment.
                num_refused += 1
                has_ended = follower.has_ended.is_set() or num_refused * self._pause_seconds > REFUSAL_SECONDS
                if error.status == _STATUS_NOT_FOUND or (error.status == _STATUS_FORBIDDEN and has_ended):
                    return
            except ClusterUnavailableError:
                # The watches of job and pods report the outage, and end it at a limit. Here the log is opened again.
                pass
            finally:
                follower.is_following = False
            follower.has_ended.wait(self._pause_seconds) or self._is_stopped.wait(0)
