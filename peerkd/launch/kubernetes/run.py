"""The backend ``kubernetes``: it creates or adopts a job for each order, waits for it, and retries if that may help."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import JobFailedError, PeerKDError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.assessment import Assessment, JobPhase
from peerkd.launch.kubernetes.client import Cluster, connect
from peerkd.launch.kubernetes.creation import JobCreator
from peerkd.launch.kubernetes.kinds.choice import choose_kind
from peerkd.launch.kubernetes.kinds.kind import Job, JobKind
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.kubernetes.monitor import JobMonitor
from peerkd.launch.kubernetes.output import Printer, failure_message, last_lines
from peerkd.launch.kubernetes.signals import DeleteOnSignal
from peerkd.launch.kubernetes.workflows import owner_reference_for
from peerkd.launch.order import POD_VARIABLE, JobAccount, StageOrder
from peerkd.launch.retries import UNKNOWN_CLIENT, ClusterRetries
from peerkd.metrics.summary import Summary, push_summary

_DELETION_SECONDS: Final = 30.0
_NOT_FOUND: Final = 404
_RETRIED_REFUSALS: Final = UNKNOWN_CLIENT | {_NOT_FOUND}
"""The HTTP statuses of refusals that are retried.

An API server that has just started may, for a moment, know neither its users nor the custom resources."""


class KubernetesJobs:
    """Carries out orders as jobs of one kind on a Kubernetes cluster.

    If no kind is given, it is the kind that the settings name or, if they name none, the first kind that the cluster
    serves.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        *,
        kind: JobKind | None = None,
        run_id: str = "",
        connection: Cluster | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._cluster, self._kind, self._run_id = cluster, kind, run_id
        self._connection, self._environment = connection, environment

    def run(self, order: StageOrder) -> list[JobAccount]:
        """Create or adopt the order's job, and wait until it has succeeded.

        If this is called in the main thread, SIGTERM and SIGINT delete the job.

        Returns:
            An account of each attempt that this call waited for.

        Raises:
            ValueError: If no cluster is configured, the job's name is taken, or the stage failed with an error that the
                user can fix.
            JobFailedError: If the job failed for another reason, or somebody deleted it.
            ClusterRefusedError: If the cluster does not allow this launcher to create or to read the job.
            ClusterUnavailableError: If the API cannot be reached for longer than ``patience_seconds``.
        """
        requested_at = datetime.now(UTC)
        connection = self._connection or connect(namespace=self._cluster.namespace)
        kind = self._kind or self._retries().call(lambda: choose_kind(self._cluster.job_kind, connection))
        manifest = manifest_for(order, self._cluster, kind=kind, run_id=self._run_id, environment=self._environment)
        printer = Printer(num_workers=self._cluster.num_workers)
        pod = self._environment.get(POD_VARIABLE)
        with DeleteOnSignal(connection.separate(), kind.resource) as on_signal:
            owner = self._retries().call(lambda: owner_reference_for(connection, pod))
            if pod and owner is None:
                printer.print_line(order.stage, f"the pod {pod} has no Workflow: its job remains if the run is deleted")
            creator = JobCreator(
                connection,
                kind,
                manifest,
                owner=owner,
                on_signal=on_signal,
                retries=lambda: self._retries(),
                notify=lambda text: printer.print_line(order.stage, text),
                requested_at=requested_at,
            )
            accounts: list[JobAccount] = []
            try:
                self._run_attempts(
                    order, creator, accounts, connection=connection, printer=printer, on_signal=on_signal
                )
            except (PeerKDError, ValueError):
                self._push_summary(order, accounts, succeeded=False)
                raise
            self._push_summary(order, accounts, succeeded=True)
            return accounts

    def _run_attempts(
        self,
        order: StageOrder,
        creator: JobCreator,
        accounts: list[JobAccount],
        *,
        connection: Cluster,
        printer: Printer,
        on_signal: DeleteOnSignal,
    ) -> None:
        num_out_of_memory: dict[int, int] = {}
        num_disruptions: dict[int, int] = {}
        num_retries_left = self._cluster.max_retries
        while True:
            monitor = JobMonitor(
                connection,
                creator.create(),
                cluster=self._cluster,
                stage=order.stage,
                printer=printer,
                is_one_training=order.num_processes > 1,
                retries=lambda: self._retries(has_answered=True),
                num_out_of_memory=num_out_of_memory,
                num_disruptions=num_disruptions,
            )
            end = monitor.wait()
            accounts.append(self._account(monitor))
            num_out_of_memory = dict(monitor.history.num_out_of_memory)
            num_disruptions = dict(monitor.history.num_disruptions)
            if end.phase is JobPhase.SUCCEEDED:
                on_signal.clear_job()
                return
            if end.phase is JobPhase.FAILED_ONCE and end.failure and end.failure.is_disruption:
                # The number is limited by max_disruptions, which is counted over all attempts.
                printer.print_line(
                    order.stage, f"{end.text}, because the cluster removed its pod; creating the job again"
                )
                creator.remove(monitor.last_job)
                continue
            if end.phase is JobPhase.FAILED_ONCE and num_retries_left:
                printer.print_line(order.stage, f"{end.text}; creating the job again ({num_retries_left} retries left)")
                num_retries_left -= 1
                creator.remove(monitor.last_job)
                continue
            self._raise(order, end, monitor, connection=connection, printer=printer, on_signal=on_signal)

    def _raise(
        self,
        order: StageOrder,
        end: Assessment,
        monitor: JobMonitor,
        *,
        connection: Cluster,
        printer: Printer,
        on_signal: DeleteOnSignal,
    ) -> None:
        job = monitor.last_job
        lines = last_lines(end, kind=job.kind, cluster=connection, history=monitor.history, printer=printer)
        # A deletion in the foreground may never end. The same deletion in the background ends it.
        must_end = job.is_being_deleted and job.kind.propagation_policy == "Background"
        if must_end or (end.phase is not JobPhase.DELETED and not job.status.has_failed):
            self._delete(connection, job)
        on_signal.clear_job()
        message = failure_message(order.stage, job.name, end, lines)
        raise (ValueError if end.is_user_error else JobFailedError)(message)

    def _delete(self, connection: Cluster, job: Job) -> None:
        """Delete a job for which this launcher no longer waits.

        If the deletion fails, the reaper deletes the job when its lease expires.
        """
        with contextlib.suppress(PeerKDError):
            retries = ClusterRetries(_DELETION_SECONDS, has_answered=True)
            retries.call(lambda: connection.delete(job.kind.resource, job.name, uid=job.uid))

    def _account(self, monitor: JobMonitor) -> JobAccount:
        job = monitor.last_job
        start, end = job.status.started_at, job.status.ended_at or datetime.now(UTC)
        seconds = (end - start).total_seconds() if start else 0.0
        queued_since = job.created_at or end
        return JobAccount(
            name=job.name,
            # A job that was suspended and resumed has a new start time; its earlier running time counts as well.
            seconds=max(seconds, monitor.history.running_seconds),
            num_workers=self._cluster.num_workers,
            gpus_per_worker=self._cluster.gpus_per_worker,
            queue_seconds=max(0.0, ((start or end) - queued_since).total_seconds()),
            # The failure that ended the job was not followed by another pod.
            num_restarts=max(0, len(monitor.history.causes) - job.status.has_failed),
        )

    def _push_summary(self, order: StageOrder, accounts: Sequence[JobAccount], *, succeeded: bool) -> None:
        gpu_seconds = sum(each.gpu_seconds for each in accounts)
        worker_seconds = sum(each.seconds * each.num_workers for each in accounts)
        push_summary(
            Summary(
                succeeded=succeeded,
                run_seconds=sum(each.seconds for each in accounts),
                queue_seconds=sum(each.queue_seconds for each in accounts),
                gpu_seconds=gpu_seconds,
                cost=self._cluster.prices.cost(worker_seconds=worker_seconds, gpu_seconds=gpu_seconds),
                num_attempts=len(accounts),
                num_restarts=sum(each.num_restarts for each in accounts),
            ),
            run=names.label_value(names.run_of(order, self._run_id)),
            stage=order.stage,
        )

    def _retries(self, *, has_answered: bool = False) -> ClusterRetries:
        return ClusterRetries(
            self._cluster.patience_seconds, has_answered=has_answered, retried_refusals=_RETRIED_REFUSALS
        )
