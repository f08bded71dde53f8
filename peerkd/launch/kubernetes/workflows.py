"""The Workflows of a namespace: which are at work, which have ended, and which one a job belongs to."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.answers import version_of
from peerkd.launch.kubernetes.client import WORKFLOWS, Cluster
from peerkd.launch.kubernetes.jobs import uid_of

_UNFINISHED: Final = {"workflows.argoproj.io/completed!": "true"}
"""Selects what is NOT labelled so: finished Workflows stay for days, and each is large."""

_ENDED_PHASES: Final = frozenset({"Succeeded", "Failed", "Error"})
_WATCH_SECONDS: Final = 240.0
_PAUSE_SECONDS: Final = 2.0
_PAUSE_WITHOUT_ARGO_SECONDS: Final = 60.0
_STATUS_GONE: Final = 410
_STATUS_NOT_FOUND: Final = 404


class Owner(NamedTuple):
    """The Workflow that a job belongs to."""

    name: str
    uid: str | None


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
            self._live = frozenset(uid_of(each) for each in listed["items"] if not why_ended(each))
            self._known = True
            self.changed.set()
            changes = self._cluster.watch(
                WORKFLOWS,
                labels=_UNFINISHED,
                resource_version=version_of(listed),
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
        workflow = self._cluster.get(WORKFLOWS, owner.name, is_certain=True)
        if workflow is None or (owner.uid and uid_of(workflow) != owner.uid):
            return f"its Workflow {owner.name} is gone"
        ended = why_ended(workflow)
        return f"its Workflow {owner.name} {ended}" if ended else ""

    def _take(self, kind: str, workflow: Mapping[str, Any]) -> None:
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return
        # DELETED is also a Workflow that has got the label of finished ones.
        over = kind == "DELETED" or bool(why_ended(workflow))
        before, uid = self._live, uid_of(workflow)
        self._live = before - {uid} if over else before | {uid}
        if over:
            self.changed.set()

    def _tell_once(self, text: str) -> None:
        if text != self._last_told:
            self._tell(text)
            self._last_told = text


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
    where, _, name = names.annotation(job, names.ANNOTATION_WORKFLOW).partition("/")
    return Owner(name, None) if name and where == namespace else None
