"""The backend ``kubernetes``: one PyTorchJob for an order, made or taken on, waited for, made anew where that helps."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import JobFailedError, PeerKDError
from peerkd.launch.backends import POD_VARIABLE
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.adopt import Maker
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster, connect
from peerkd.launch.kubernetes.failure import explain, last_lines
from peerkd.launch.kubernetes.jobs import Job, ended_at, has_failed, made_at, name_of, started_at, uid_of
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.kubernetes.owner import find_owner
from peerkd.launch.kubernetes.printing import Printer
from peerkd.launch.kubernetes.stopping import StopSwitch
from peerkd.launch.kubernetes.verdict import State, Verdict
from peerkd.launch.kubernetes.waiting import Wait
from peerkd.launch.order import JobAccount, StageOrder
from peerkd.launch.patience import UNKNOWN_CLIENT, Patience
from peerkd.metrics.summary import Summary, push_summary

_GIVE_UP_SECONDS: Final = 30.0
_NOT_FOUND: Final = 404
_FORGIVEN: Final = UNKNOWN_CLIENT | {_NOT_FOUND}
"""Statuses that may pass: a newly started API server may know neither its users nor custom resources for a moment."""


class PyTorchJobs:
    """Carries out orders as PyTorchJobs of the Kubeflow training operator."""

    def __init__(
        self,
        cluster: ClusterConfig,
        *,
        run_id: str = "",
        connection: Cluster | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._cluster, self._run_id = cluster, run_id
        self._connection, self._environment = connection, environment

    def run(self, order: StageOrder) -> list[JobAccount]:
        """Return when the order's job has succeeded, with an account of each attempt that was waited for.

        A signal to stop deletes the job, if this is called in the main thread.

        Raises:
            ValueError: If no cluster is configured, the job's name is taken, or the stage found something that the
                user can fix.
            JobFailedError: If the job failed otherwise, or was deleted meanwhile.
            ClusterRefusedError: If the cluster refuses the job, or to show it.
            ClusterUnavailableError: If the API is away for longer than ``patience_seconds``.
        """
        asked_at = datetime.now(UTC)
        manifest = manifest_for(order, self._cluster, run_id=self._run_id, environment=self._environment)
        connection = self._connection or connect(namespace=self._cluster.namespace)
        printer = Printer(num_workers=self._cluster.num_workers)
        pod = self._environment.get(POD_VARIABLE)
        with StopSwitch(connection.separate()) as switch:
            owner = self._patience().insist(lambda: find_owner(connection, pod))
            if pod and owner is None:
                printer.say(order.stage, f"the pod {pod} shows no Workflow: the job will outlive one that is deleted")
            maker = Maker(
                connection,
                manifest,
                owner=owner,
                switch=switch,
                patience=lambda: self._patience(),
                say=lambda text: printer.say(order.stage, text),
                asked_at=asked_at,
            )
            accounts: list[JobAccount] = []
            try:
                self._attempts(order, maker, accounts, connection=connection, printer=printer, switch=switch)
            except (PeerKDError, ValueError):
                self._push_summary(order, accounts, succeeded=False)
                raise
            self._push_summary(order, accounts, succeeded=True)
            return accounts

    def _attempts(
        self,
        order: StageOrder,
        maker: Maker,
        accounts: list[JobAccount],
        *,
        connection: Cluster,
        printer: Printer,
        switch: StopSwitch,
    ) -> None:
        num_out_of_memory: dict[int, int] = {}
        num_disruptions: dict[int, int] = {}
        num_left = self._cluster.max_retries
        while True:
            wait = Wait(
                connection,
                maker.make(),
                cluster=self._cluster,
                stage=order.stage,
                printer=printer,
                patience=lambda: self._patience(has_answered=True),
                num_out_of_memory=num_out_of_memory,
                num_disruptions=num_disruptions,
            )
            verdict = wait.until_end()
            accounts.append(self._account(wait))
            num_out_of_memory = dict(wait.history.num_out_of_memory)
            num_disruptions = dict(wait.history.num_disruptions)
            if verdict.state is State.SUCCEEDED:
                switch.unguard()
                return
            if verdict.state is State.FAILED_ONCE and verdict.ending and verdict.ending.is_disruption:
                # Bounded by max_disruptions, which is counted over all attempts.
                printer.say(order.stage, f"{verdict.text}, taken away by the cluster; the job is made anew")
                maker.remove(wait.last_seen)
                continue
            if verdict.state is State.FAILED_ONCE and num_left:
                printer.say(order.stage, f"{verdict.text}; the job is made anew ({num_left} more times at most)")
                num_left -= 1
                maker.remove(wait.last_seen)
                continue
            self._raise(order, verdict, wait, connection=connection, printer=printer, switch=switch)

    def _raise(
        self,
        order: StageOrder,
        verdict: Verdict,
        wait: Wait,
        *,
        connection: Cluster,
        printer: Printer,
        switch: StopSwitch,
    ) -> None:
        job = wait.last_seen
        lines = last_lines(verdict, cluster=connection, history=wait.history, printer=printer)
        if verdict.state is not State.GONE and not has_failed(job):
            self._give_up(connection, job)
        switch.unguard()
        message = explain(order.stage, name_of(job), verdict, lines)
        raise (ValueError if verdict.user_can_mend else JobFailedError)(message)

    def _give_up(self, connection: Cluster, job: Job) -> None:
        """Delete a job that nobody waits for any more; if that cannot be done soon, its lease ends it."""
        with contextlib.suppress(PeerKDError):
            patience = Patience(_GIVE_UP_SECONDS, has_answered=True)
            patience.insist(lambda: connection.delete(PYTORCHJOBS, name_of(job), uid=uid_of(job)))

    def _account(self, wait: Wait) -> JobAccount:
        job = wait.last_seen
        start, end = started_at(job), ended_at(job) or datetime.now(UTC)
        seconds = (end - start).total_seconds() if start else 0.0
        return JobAccount(
            name=name_of(job),
            # A job that a queue took back and let go again has started anew; what it held before counts as well.
            seconds=max(seconds, wait.history.running_seconds),
            num_workers=self._cluster.num_workers,
            gpus_per_worker=self._cluster.gpus_per_worker,
            queue_seconds=max(0.0, ((start or end) - made_at(job)).total_seconds()),
            # The end of a job that failed was not made good by another pod.
            num_restarts=max(0, len(wait.history.endings) - has_failed(job)),
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

    def _patience(self, *, has_answered: bool = False) -> Patience:
        return Patience(self._cluster.patience_seconds, has_answered=has_answered, forgiven=_FORGIVEN)
