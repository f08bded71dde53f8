"""Deletes jobs for which nobody waits any more: a launcher that is killed has a second to do it, and sometimes none.

Two things tell. A job's Workflow has ended, or is being stopped: seen at once, because Workflows are watched. Or a
job's lease is no longer renewed: seen after ``lease_seconds``, and good for launchers outside of Kubeflow too.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import PYTORCHJOBS, WORKFLOWS, Cluster
from peerkd.metrics.progress import say
from peerkd.metrics.summary import delete_old_summaries

NAME: Final = "reaper"
INTERVAL_SECONDS: Final = 3.0
"""Between two looks at the jobs; a Workflow that ends does not wait for it."""

_MAX_STEP_SECONDS: Final = 3 * INTERVAL_SECONDS
"""What counts at most from one look to the next: a reaper that was itself held up has seen nothing meanwhile."""

_UNFINISHED: Final = {"workflows.argoproj.io/completed!": "true"}
"""Selects what is NOT labelled so: finished Workflows stay for days, and each is large."""

_TIDY_SECONDS: Final = 60.0
"""Between two looks for summaries that a Pushgateway has kept long enough."""

_ENDED_PHASES: Final = frozenset({"Succeeded", "Failed", "Error"})
_WATCH_SECONDS: Final = 240.0
_PAUSE_SECONDS: Final = 2.0
_PAUSE_WITHOUT_ARGO_SECONDS: Final = 60.0
_STATUS_GONE: Final = 410
_STATUS_FORBIDDEN: Final = 403
_STATUS_NOT_FOUND: Final = 404


class Owner(NamedTuple):
    """The Workflow that a job belongs to."""

    name: str
    uid: str | None


class _Lease(NamedTuple):
    value: str
    unchanged_seconds: float


class Workflows:
    """The Workflows of a namespace that are at work, kept up to date by ``follow``."""

    def __init__(self, cluster: Cluster, *, tell: Callable[[str], None]) -> None:
        self._cluster, self._tell = cluster, tell
        self._live: frozenset[str] = frozenset()
        self._known = False
        self._last_told = ""
        self.changed = threading.Event()

    def may_have_ended(self, owner: Owner) -> bool:
        """Return False if the Workflow was at work when it was last heard of, or nothing can be known."""
        return self._known and owner.uid not in self._live

    def follow(self, stop: threading.Event) -> None:
        """List and watch until ``stop`` is set."""
        while not stop.is_set():
            stop.wait(self.follow_once())

    def follow_once(self) -> float:
        """List, then watch until that ends; return how many seconds to wait before the next time."""
        try:
            listed = self._cluster.list(WORKFLOWS, labels=_UNFINISHED)
            self._live = frozenset(_uid(each) for each in listed["items"] if not why_ended(each))
            self._known = True
            self.changed.set()
            changes = self._cluster.watch(
                WORKFLOWS,
                labels=_UNFINISHED,
                resource_version=listed["metadata"]["resourceVersion"],
                timeout_seconds=_WATCH_SECONDS,
            )
            for kind, workflow in changes:
                self._take(kind, workflow)
        except ClusterUnavailableError:
            # Told by those who look at the jobs. What was known is old now.
            self._known = False
            return _PAUSE_SECONDS
        except ClusterRefusedError as error:
            if error.status == _STATUS_GONE:
                return 0.0
            self._known = False
            self._tell_once(
                "there are no Workflows here: only leases are watched."
                if error.status == _STATUS_NOT_FOUND
                else f"Workflows cannot be watched, only leases: {error}"
            )
            return _PAUSE_WITHOUT_ARGO_SECONDS
        return 0.0

    def why_over(self, owner: Owner) -> str:
        """Ask for the Workflow itself, and return why nobody works for it any more; empty if that is not so."""
        workflow = self._cluster.get(WORKFLOWS, owner.name)
        if workflow is None or (owner.uid and _uid(workflow) != owner.uid):
            return f"its Workflow {owner.name} is gone"
        ended = why_ended(workflow)
        return f"its Workflow {owner.name} {ended}" if ended else ""

    def _take(self, kind: str, workflow: Mapping[str, Any]) -> None:
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return
        # DELETED is also a Workflow that has got the label of finished ones.
        over = kind == "DELETED" or bool(why_ended(workflow))
        before, uid = self._live, _uid(workflow)
        self._live = before - {uid} if over else before | {uid}
        if over:
            self.changed.set()

    def _tell_once(self, text: str) -> None:
        if text != self._last_told:
            self._tell(text)
            self._last_told = text


class Reaper:
    """Looks at the jobs of a namespace, round by round. Holds a line for each job that is at work, and nothing else."""

    def __init__(
        self,
        cluster: Cluster,
        workflows: Workflows,
        *,
        clock: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None],
    ) -> None:
        self._cluster, self._workflows = cluster, workflows
        self._clock, self._tell = clock, tell
        self._leases: dict[str, _Lease] = {}
        self._looked_at: float | None = None
        self._is_away = False
        self._refused: frozenset[str] = frozenset()

    def round(self) -> None:
        """Look once, and delete what is to be deleted."""
        try:
            jobs = [job for job in self._cluster.list(PYTORCHJOBS, labels=names.OUR_LABELS)["items"] if _is_alive(job)]
            self._come_back()
            self._observe(jobs)
            unwanted = [(job, why) for job in jobs if (why := self._why_unwanted(job))]
            # What is refused is tried again each time, and told once.
            self._refused = frozenset(_uid(job) for job, why in unwanted if not self._delete(job, why))
        except ClusterUnavailableError as error:
            # The launchers cannot renew anything either: what was seen before counts for nothing.
            self._leases, self._looked_at = {}, None
            if not self._is_away:
                self._tell(f"waiting: {error}")
            self._is_away = True
        except ClusterRefusedError as error:
            self._tell(f"cannot see the jobs: {error}")

    def _come_back(self) -> None:
        if self._is_away:
            self._tell("the cluster answers again; all leases are observed anew.")
        self._is_away = False

    def _observe(self, jobs: list[dict[str, Any]]) -> None:
        now = self._clock()
        elapsed = 0.0 if self._looked_at is None else min(now - self._looked_at, _MAX_STEP_SECONDS)
        self._looked_at = now
        leases = {}
        for job in jobs:
            value, before = _annotation(job, names.ANNOTATION_LEASE_RENEWED), self._leases.get(_uid(job))
            if value:
                unchanged = before.unchanged_seconds + elapsed if before and before.value == value else 0.0
                leases[_uid(job)] = _Lease(value, unchanged)
        self._leases = leases

    def _why_unwanted(self, job: Mapping[str, Any]) -> str:
        owner = owner_of(job, namespace=self._cluster.namespace)
        if owner and self._workflows.may_have_ended(owner):
            # It may also be newer than what is known, so the Workflow itself is asked.
            over = self._workflows.why_over(owner)
            if over:
                return over
        lease = self._leases.get(_uid(job))
        lease_seconds = _lease_seconds(job)
        if lease and lease_seconds and lease.unchanged_seconds > lease_seconds:
            return f"nobody has renewed its lease for {lease.unchanged_seconds:.0f} s"
        return ""

    def _delete(self, job: Mapping[str, Any], why: str) -> bool:
        """Delete a job; False if that is refused."""
        name = job["metadata"]["name"]
        try:
            if self._cluster.delete(PYTORCHJOBS, name, uid=_uid(job)):
                self._tell(f"deleted {name}, because {why}.")
        except ClusterRefusedError as error:
            if _uid(job) not in self._refused:
                self._tell(f"{name} is to be deleted, because {why}, and cannot be: {error}")
            return False
        return True


def why_ended(workflow: Mapping[str, Any]) -> str:
    """Return why nobody works for a Workflow any more, as the end of a sentence; empty if somebody does."""
    if workflow["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    # So Kubeflow Pipelines terminates a run; the Workflow takes another 20 s to end.
    if workflow.get("spec", {}).get("activeDeadlineSeconds") == 0:
        return "was terminated"
    phase = workflow.get("status", {}).get("phase")
    return f"has ended ({phase})" if phase in _ENDED_PHASES else ""


def owner_of(job: Mapping[str, Any], *, namespace: str) -> Owner | None:
    """Return the Workflow that a job belongs to, if it is in this namespace."""
    for reference in job["metadata"].get("ownerReferences") or []:
        if reference.get("kind") == "Workflow":
            return Owner(reference["name"], reference["uid"])
    where, _, name = _annotation(job, names.ANNOTATION_WORKFLOW).partition("/")
    return Owner(name, None) if name and where == namespace else None


def run_reaper(
    cluster: Cluster, *, stop: threading.Event, tell: Callable[[str], None] = lambda text: say(NAME, text)
) -> Callable[[], float]:
    """Start to look after a namespace in threads that end when ``stop`` is set; return how to ask for its pulse.

    Returns:
        A function that returns the seconds since the last round, for a probe; without end if a thread is gone.
    """
    workflows = Workflows(cluster, tell=tell)
    reaper = Reaper(cluster, workflows, tell=tell)
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


def _is_alive(job: Mapping[str, Any]) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    ended = any(each["type"] in ("Succeeded", "Failed") and each["status"] == "True" for each in conditions)
    return not ended and not job["metadata"].get("deletionTimestamp")


def _uid(thing: Mapping[str, Any]) -> str:
    return str(thing["metadata"]["uid"])


def _annotation(job: Mapping[str, Any], name: str) -> str:
    return str((job["metadata"].get("annotations") or {}).get(name, ""))


def _lease_seconds(job: Mapping[str, Any]) -> float | None:
    try:
        return float(_annotation(job, names.ANNOTATION_LEASE_SECONDS))
    except ValueError:
        return None
