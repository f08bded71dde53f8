"""Waiting for one job: the news of all its watchers come to one place, and after each the job is judged."""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import EVENTS, PODS, PYTORCHJOBS, Cluster
from peerkd.launch.kubernetes.history import History
from peerkd.launch.kubernetes.jobs import Job, name_of, running_since, uid_of
from peerkd.launch.kubernetes.lease import Lease
from peerkd.launch.kubernetes.logs import LogFollowers
from peerkd.launch.kubernetes.pods import has_log
from peerkd.launch.kubernetes.printing import Printer
from peerkd.launch.kubernetes.verdict import State, Verdict, judge
from peerkd.launch.kubernetes.warnings import Warnings
from peerkd.launch.kubernetes.watching import News, Watcher
from peerkd.launch.patience import Patience
from peerkd.metrics.progress import LINE_PREFIX

_TICK_SECONDS: Final = 0.5
_DRAIN_SECONDS: Final = 1.0


class Wait:
    """Waits for a job until it has ended, one way or another."""

    def __init__(
        self,
        connection: Cluster,
        job: Mapping[str, Any],
        *,
        cluster: ClusterConfig,
        stage: str,
        printer: Printer,
        patience: Callable[[], Patience],
        num_out_of_memory: Mapping[int, int] | None = None,
        num_disruptions: Mapping[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._cluster, self._stage, self._printer = connection, cluster, stage, printer
        self._name, self._uid, self._clock = name_of(job), uid_of(job), clock
        self.job: Job | None = job
        """The job as it was last seen; None once it is gone."""

        since = running_since(job)
        earlier = max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0.0
        self.history = History(
            num_out_of_memory=num_out_of_memory, num_disruptions=num_disruptions, running_seconds=earlier
        )
        self._events: Sequence[Mapping[str, Any]] = ()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._last_seen: Job = job
        self._last_topic = ""
        self._is_away = False
        self._is_heard = False
        self._followers = LogFollowers(connection, take=self._hear)
        self._warnings = Warnings(connection, tell=lambda found: self._news.put(News(EVENTS, "LIST", tuple(found))))
        self._watchers = (
            self._watcher(PYTORCHJOBS, patience(), fields={"metadata.name": self._name}),
            self._watcher(PODS, patience(), labels={names.LABEL_JOB_OF_POD: self._name}),
        )

    def until_end(self) -> Verdict:
        """Return how the job ended.

        Raises:
            ClusterRefusedError: If the launcher may not see the job or its pods.
            ClusterUnavailableError: If the API is away for too long.
        """
        lease = Lease(self._connection, self._name, uid=self._uid, lease_seconds=self._cluster.lease_seconds)
        try:
            with lease:
                for watcher in self._watchers:
                    watcher.start()
                verdict = self._judge()
                while not verdict.state.is_end:
                    self._take_news()
                    verdict = self._judge()
                    if not self._is_away:
                        self._tell(verdict)
                return self._settle(verdict)
        finally:
            self._warnings.stop()
            for watcher in self._watchers:
                watcher.stop()
            self._followers.finish(timeout_seconds=_DRAIN_SECONDS)
            self._printer.flush(timeout_seconds=_DRAIN_SECONDS)

    @property
    def last_seen(self) -> Job:
        """The job as it was when it was last there."""
        return self._last_seen

    def _watcher(
        self, resource: Any, patience: Patience, *, labels: dict[str, str] | None = None, fields: Any = None
    ) -> Watcher:
        return Watcher(self._connection, resource, tell=self._news.put, patience=patience, labels=labels, fields=fields)

    def _judge(self) -> Verdict:
        if self._is_heard:
            self._is_heard = False
            self.history.heard()
        self.history.note(
            self._last_seen,
            now_seconds=self._clock(),
            events=self._events,
            is_listening=self._followers.is_listening,
            is_current=not self._is_away,
        )
        verdict = judge(self.job, history=self.history, cluster=self._cluster, events=self._events)
        # What the API tells when it is back comes first: the job may have ended in time.
        return Verdict(State.STARTING, "unknown") if self._is_away and verdict.state.is_end else verdict

    def _take_news(self) -> None:
        with contextlib.suppress(queue.Empty):
            news = self._news.get(timeout=_TICK_SECONDS)
            while True:
                self._take(news)
                news = self._news.get_nowait()

    def _take(self, news: News) -> None:
        if news.kind == "END":
            assert news.error is not None
            raise news.error
        if news.kind == "TROUBLE":
            if not self._is_away:
                self._is_away = True
                self._say(f"waiting for the cluster's API, the job goes on meanwhile ({news.error})")
            return
        if news.resource == EVENTS:
            self._events = news.items
            return
        if self._is_away:
            self._is_away = False
            self._say("the cluster's API is back")
        if news.resource == PYTORCHJOBS:
            self._take_job(news)
        elif news.kind == "LIST":
            self._take_pods(news.items)
        else:
            self.history.change_pod(news.change, news.items[0])
            self._followers.see(news.items[0], is_gone=news.change == "DELETED")

    def _take_job(self, news: News) -> None:
        ours = [each for each in news.items if uid_of(each) == self._uid]
        if ours:
            self._last_seen = ours[0]
            self.job = None if news.change == "DELETED" else ours[0]
        elif news.kind == "LIST":
            self.job = None

    def _take_pods(self, pods: Sequence[Mapping[str, Any]]) -> None:
        self.history.replace_pods(pods)
        for pod in pods:
            self._followers.see(pod)

    def _tell(self, verdict: Verdict) -> None:
        starting = verdict.state is State.STARTING
        unstarted = [uid_of(pod) for pod in self.history.pods.values() if not has_log(pod)]
        self._warnings.about([self._uid, *unstarted] if starting else [])
        if verdict.topic and verdict.topic != self._last_topic:
            self._last_topic = verdict.topic
            self._say(verdict.text)

    def _settle(self, verdict: Verdict) -> Verdict:
        """Look at the job and its pods once more, since news of one may have overtaken those of the other.

        A job that has succeeded is not given up for what was heard before; of a failure, the first worker is wanted.
        """
        if verdict.state is State.GONE:
            return verdict
        with contextlib.suppress(PeerKDError):
            job = self._connection.get(PYTORCHJOBS, self._name)
            if job is not None and uid_of(job) == self._uid:
                self._last_seen = self.job = job
            listed = self._connection.list(PODS, labels={names.LABEL_JOB_OF_POD: self._name})
            self._take_pods(listed.get("items") or [])
        again = judge(self.job, history=self.history, cluster=self._cluster, events=self._events)
        return again if again.state.is_end else verdict

    def _hear(self, worker: int, line: str) -> None:
        """Called in the threads that follow logs."""
        if line.startswith(LINE_PREFIX):
            self._is_heard = True
        self._printer.take(worker, line)

    def _say(self, text: str) -> None:
        self._printer.say(self._stage, text)
