"""Waiting for one job: all observations of the job arrive in one queue, and the job is assessed after each of them."""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import PeerKDError
from peerkd.launch.kubernetes.assessment import Assessment, JobPhase, assess
from peerkd.launch.kubernetes.client import EVENTS, PODS, Cluster, Resource
from peerkd.launch.kubernetes.history import PodHistory
from peerkd.launch.kubernetes.kinds.kind import Job, uid_of
from peerkd.launch.kubernetes.lease import LeaseRenewer
from peerkd.launch.kubernetes.logs import LogFollowers
from peerkd.launch.kubernetes.output import Printer
from peerkd.launch.kubernetes.pods import has_log, running_since
from peerkd.launch.kubernetes.watching import EventPoller, FieldSelector, JobObservation, Watcher
from peerkd.launch.retries import ClusterRetries
from peerkd.metrics.progress import LINE_PREFIX

_TICK_SECONDS: Final = 0.5
_DRAIN_SECONDS: Final = 1.0
_MAX_PODS_WITH_EVENTS: Final = 5
"""The maximum number of pods whose events are requested. Whatever blocks one pod usually blocks all of them."""


class JobMonitor:
    """Follows a job, its pods and their logs until the job has ended."""

    def __init__(
        self,
        connection: Cluster,
        job: Job,
        *,
        cluster: ClusterConfig,
        stage: str,
        printer: Printer,
        is_one_training: bool,
        retries: Callable[[], ClusterRetries],
        num_out_of_memory: Mapping[int, int] | None = None,
        num_disruptions: Mapping[int, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a monitor that has observed nothing yet.

        Args:
            connection: The cluster.
            job: The job, which this launcher has created or adopted.
            cluster: The settings of the job.
            stage: The stage of the job.
            printer: The output of the launcher.
            is_one_training: Whether the workers train one network together, so that they are restarted together.
            retries: A function that returns a retry policy for one watch.
            num_out_of_memory: How often each worker ran out of memory in earlier jobs of the order.
            num_disruptions: How often the cluster removed the pod of each worker in earlier jobs of the order.
            clock: A function that returns a monotonic time in seconds.
        """
        self._connection, self._cluster, self._stage, self._printer = connection, cluster, stage, printer
        self._kind, self._clock = job.kind, clock
        self._job: Job | None = job
        self._last_job = job
        since = job.status.running_since
        earlier_seconds = max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0.0
        self.history = PodHistory(
            job.kind,
            num_out_of_memory=num_out_of_memory,
            num_disruptions=num_disruptions,
            running_seconds=earlier_seconds,
            are_restarted_together=is_one_training and bool(job.kind.restart_label),
        )
        self._must_measure_running_time = since is None
        self._events: Sequence[Mapping[str, Any]] = ()
        self._observations: queue.SimpleQueue[JobObservation] = queue.SimpleQueue()
        self._last_topic = ""
        self._is_api_away = False
        self._has_progress = False
        self._followers = LogFollowers(connection, job.kind, on_line=self._take_line)
        self._event_poller = EventPoller(connection, on_observation=self._observations.put)
        self._watchers = (
            self._watcher(job.kind.resource, retries(), fields={"metadata.name": job.name}),
            self._watcher(PODS, retries(), labels=job.kind.pod_labels(job.name)),
        )

    @property
    def last_job(self) -> Job:
        """The job as it was last observed, even if it no longer exists."""
        return self._last_job

    def wait(self) -> Assessment:
        """Wait until the job has ended, and return the final assessment.

        Raises:
            ClusterRefusedError: If the launcher may not read the job or its pods.
            ClusterUnavailableError: If the API cannot be reached for too long.
        """
        try:
            with LeaseRenewer(self._connection, self._last_job, lease_seconds=self._cluster.lease_seconds):
                for watcher in self._watchers:
                    watcher.start()
                assessment = self._assess()
                while not assessment.phase.is_final:
                    self._take_observations()
                    assessment = self._assess()
                    if not self._is_api_away:
                        self._print(assessment)
                return self._confirm(assessment)
        finally:
            self._event_poller.stop()
            for watcher in self._watchers:
                watcher.stop()
            self._followers.finish(timeout_seconds=_DRAIN_SECONDS)
            self._printer.flush(timeout_seconds=_DRAIN_SECONDS)

    def _watcher(
        self,
        resource: Resource,
        retries: ClusterRetries,
        *,
        labels: Mapping[str, str] | None = None,
        fields: FieldSelector | None = None,
    ) -> Watcher:
        return Watcher(
            self._connection,
            resource,
            on_observation=self._observations.put,
            retries=retries,
            labels=labels,
            fields=fields,
        )

    def _assess(self) -> Assessment:
        if self._has_progress:
            self._has_progress = False
            self.history.record_progress()
        self.history.advance(
            self._last_job,
            now_seconds=self._clock(),
            events=self._events,
            is_following_logs=self._followers.is_following,
            is_connected=not self._is_api_away,
        )
        assessment = assess(self._job, history=self.history, cluster=self._cluster, events=self._events)
        if self._is_api_away and assessment.phase.is_final:
            # When the API is back, its responses decide, because the job may have ended in time.
            return Assessment(JobPhase.STARTING, "unknown")
        return assessment

    def _take_observations(self) -> None:
        with contextlib.suppress(queue.Empty):
            observation = self._observations.get(timeout=_TICK_SECONDS)
            while True:
                self._take(observation)
                observation = self._observations.get_nowait()

    def _take(self, observation: JobObservation) -> None:
        if observation.kind == "GIVEN_UP":
            assert observation.error is not None
            raise observation.error
        if observation.kind == "UNAVAILABLE":
            if not self._is_api_away:
                self._is_api_away = True
                self._print_line(
                    f"waiting for the cluster's API; the job continues in the meantime ({observation.error})"
                )
            return
        if observation.resource == EVENTS:
            self._events = observation.items
            return
        if self._is_api_away:
            self._is_api_away = False
            self._print_line("the cluster's API is available again")
        if observation.resource == self._kind.resource:
            self._take_job(observation)
        elif observation.kind == "LIST":
            self._take_pods(observation.items)
        else:
            (pod,) = observation.items
            self.history.change_pod(observation.change, pod)
            self._followers.update(pod, is_gone=observation.change == "DELETED")

    def _take_job(self, observation: JobObservation) -> None:
        ours = [each for each in observation.items if uid_of(each) == self._last_job.uid]
        if ours:
            self._last_job = self._kind.read(ours[0])
            self._job = None if observation.change == "DELETED" else self._last_job
        elif observation.kind == "LIST":
            self._job = None

    def _take_pods(self, pods: Sequence[Mapping[str, Any]]) -> None:
        if self._must_measure_running_time:
            # The pods of an adopted job tell since when they run. The time that they waited for nodes does not count.
            self._must_measure_running_time = False
            starts = [since for pod in pods if (since := running_since(pod, self._kind))]
            if starts:
                self.history.running_seconds += max(0.0, (datetime.now(UTC) - min(starts)).total_seconds())
        self.history.replace_pods(pods)
        for pod in pods:
            self._followers.update(pod)

    def _print(self, assessment: Assessment) -> None:
        if assessment.phase is JobPhase.STARTING:
            unstarted = [pod for pod in self.history.pods.values() if not has_log(pod, self._kind)]
            of_pods = [{"involvedObject.uid": uid_of(pod)} for pod in unstarted[:_MAX_PODS_WITH_EVENTS]]
            self._event_poller.select([*self._kind.event_fields(self._last_job), *of_pods])
        else:
            self._event_poller.select([])
        if assessment.topic and assessment.topic != self._last_topic:
            self._last_topic = assessment.topic
            self._print_line(assessment.text)

    def _confirm(self, assessment: Assessment) -> Assessment:
        """Read the job and its pods once more, and assess them again.

        The job and its pods are observed separately, so one observation may be older than the other. A job that has
        succeeded must not count as failed because of an old observation of a pod. If the job has failed, the pod that
        failed first may not have been observed yet.
        """
        if assessment.phase is JobPhase.DELETED:
            return assessment
        with contextlib.suppress(PeerKDError):
            job = self._connection.get(self._kind.resource, self._last_job.name)
            if job is not None and uid_of(job) == self._last_job.uid:
                self._last_job = self._job = self._kind.read(job)
            labels = self._kind.pod_labels(self._last_job.name)
            self._take_pods(self._connection.list(PODS, labels=labels)["items"])
        again = assess(self._job, history=self.history, cluster=self._cluster, events=self._events)
        return again if again.phase.is_final else assessment

    def _take_line(self, worker: int, line: str) -> None:
        """Print a worker's line. This method is called in the threads that follow logs."""
        if line.startswith(LINE_PREFIX):
            self._has_progress = True
        self._printer.take(worker, line)

    def _print_line(self, text: str) -> None:
        self._printer.print_line(self._stage, text)
