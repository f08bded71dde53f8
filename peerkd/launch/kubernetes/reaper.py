"""Looks after jobs that nobody else looks after: deletes the unwanted, and has the stranded sent back to their queue.

A launcher that is killed has a second to delete its job, and sometimes none. Two things tell that nobody waits for one
any more. Its Workflow has ended, or is being stopped: seen at once, because Workflows are watched. Or its lease is no
longer renewed: seen after ``lease_seconds``, and good for launchers outside of Kubeflow too. Of jobs that have ended,
the training operator forgets those that failed: here they go when their time is over, like the others.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PYTORCHJOBS, Cluster
from peerkd.launch.kubernetes.jobs import has_failed, has_succeeded, is_being_deleted, name_of, uid_of
from peerkd.launch.kubernetes.stranded import PATIENCE_SECONDS, Stranded
from peerkd.launch.kubernetes.unchanged import Unchanged
from peerkd.launch.kubernetes.workflows import Workflows, owner_of
from peerkd.metrics.progress import say
from peerkd.metrics.summary import delete_old_summaries

NAME: Final = "reaper"
INTERVAL_SECONDS: Final = 3.0
"""Between two looks at the jobs; a Workflow that ends does not wait for it."""

_MAX_STEP_SECONDS: Final = 3 * INTERVAL_SECONDS
_OPERATORS_TURN_SECONDS: Final = 120.0
"""How long after its time a job that has ended is left to the operator."""

_STRANDED_INTERVAL_SECONDS: Final = 15.0
"""Between two looks for stranded jobs: those list pods."""

_TIDY_SECONDS: Final = 60.0
"""Between two looks for summaries that a Pushgateway has kept long enough."""


class Reaper:
    """Looks at the jobs of a namespace, round by round. Holds a line for each job, and nothing else."""

    def __init__(
        self,
        cluster: Cluster,
        workflows: Workflows,
        *,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._cluster, self._workflows = cluster, workflows
        self._clock, self._tell = clock, tell
        self._unchanged = Unchanged(clock=clock, max_step_seconds=_MAX_STEP_SECONDS)
        self._stranded = Stranded(cluster, clock=clock, tell=tell, patience_seconds=patience_seconds)
        self._looked_for_stranded = -math.inf
        self._is_away = False
        self._refused: frozenset[str] = frozenset()

    def round(self) -> None:
        """Look once, delete what is to be deleted, and at times send back what is stranded."""
        try:
            listed = self._cluster.list(PYTORCHJOBS, labels=names.OUR_LABELS)["items"]
            self._come_back()
            jobs = [job for job in listed if not is_being_deleted(job)]
            self._unchanged.see({uid_of(job): _sign_of_life(job) for job in jobs})
            unwanted = [(job, why) for job in jobs if (why := self._why_unwanted(job))]
            # What is refused is tried again each time, and told once.
            self._refused = frozenset(uid_of(job) for job, why in unwanted if not self._delete(job, why))
            if self._clock() - self._looked_for_stranded >= _STRANDED_INTERVAL_SECONDS:
                self._looked_for_stranded = self._clock()
                self._stranded.look(job for job in jobs if not _has_ended(job))
        except ClusterUnavailableError as error:
            # The launchers cannot renew anything either: what was seen before counts for nothing.
            self._unchanged.forget()
            self._stranded.forget()
            if not self._is_away:
                self._tell(f"waiting: {error}")
            self._is_away = True
        except ClusterRefusedError as error:
            self._tell(f"cannot see the jobs: {error}")

    def _come_back(self) -> None:
        if self._is_away:
            self._tell("the cluster answers again; all leases are observed anew.")
        self._is_away = False

    def _why_unwanted(self, job: Mapping[str, Any]) -> str:
        seconds = self._unchanged.seconds(uid_of(job))
        if _has_ended(job):
            kept_seconds = ((job.get("spec") or {}).get("runPolicy") or {}).get("ttlSecondsAfterFinished")
            is_over = kept_seconds is not None and seconds > kept_seconds + _OPERATORS_TURN_SECONDS
            return f"it ended more than {kept_seconds} s ago (ttl_seconds_after_finished)" if is_over else ""
        owner = owner_of(job, namespace=self._cluster.namespace)
        if owner and self._workflows.may_have_ended(owner):
            # It may also be newer than what is known, so the Workflow itself is asked.
            over = self._workflows.why_over(owner)
            if over:
                return over
        lease_seconds = _lease_seconds(job)
        if names.annotation(job, names.ANNOTATION_LEASE_RENEWED) and lease_seconds and seconds > lease_seconds:
            return f"nobody has renewed its lease for {seconds:.0f} s"
        return ""

    def _delete(self, job: Mapping[str, Any], why: str) -> bool:
        """Delete a job; False if that is refused."""
        name = name_of(job)
        try:
            if self._cluster.delete(PYTORCHJOBS, name, uid=uid_of(job)):
                self._tell(f"deleted {name}, because {why}.")
        except ClusterRefusedError as error:
            if uid_of(job) not in self._refused:
                self._tell(f"{name} is to be deleted, because {why}, and cannot be: {error}")
            return False
        return True


def run_reaper(
    cluster: Cluster,
    *,
    stop: threading.Event,
    tell: Callable[[str], None] = lambda text: say(NAME, text),
    patience_seconds: float = PATIENCE_SECONDS,
) -> Callable[[], float]:
    """Start to look after a namespace in threads that end when ``stop`` is set; return how to ask for its pulse.

    Args:
        cluster: In the namespace.
        stop: Set by the caller.
        tell: Takes a sentence about whatever is done.
        patience_seconds: For how long a job may be without a node that it has lost.

    Returns:
        A function that returns the seconds since the last round, for a probe; without end if a thread is gone.
    """
    workflows = Workflows(cluster, tell=tell)
    reaper = Reaper(cluster, workflows, tell=tell, patience_seconds=patience_seconds)
    last_round = time.monotonic()

    def work() -> None:
        nonlocal last_round
        tidied = last_round
        while not stop.is_set():
            workflows.changed.clear()
            reaper.round()
            last_round = time.monotonic()
            if last_round - tidied > _TIDY_SECONDS:
                tidied = last_round
                delete_old_summaries()
            workflows.changed.wait(INTERVAL_SECONDS)

    tell(f"watching the jobs of the namespace {cluster.namespace}.")
    watcher = threading.Thread(target=workflows.follow, args=(stop,), daemon=True)
    watcher.start()
    threading.Thread(target=work, daemon=True).start()
    return lambda: time.monotonic() - last_round if watcher.is_alive() else math.inf


def _has_ended(job: Mapping[str, Any]) -> bool:
    return has_succeeded(job) or has_failed(job)


def _sign_of_life(job: Mapping[str, Any]) -> tuple[bool, str]:
    return _has_ended(job), "" if _has_ended(job) else names.annotation(job, names.ANNOTATION_LEASE_RENEWED)


def _lease_seconds(job: Mapping[str, Any]) -> float | None:
    try:
        return float(names.annotation(job, names.ANNOTATION_LEASE_SECONDS))
    except ValueError:
        return None
