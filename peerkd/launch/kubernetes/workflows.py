"""Observation of the Argo Workflows that own the jobs of pipelines.

When a Workflow has ended, was terminated or was deleted, the reaper deletes its jobs.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.answers import version_of
from peerkd.launch.kubernetes.client import PODS, WORKFLOWS, Cluster
from peerkd.launch.kubernetes.kinds.kind import Job, uid_of

_UNFINISHED: Final = {"workflows.argoproj.io/completed!": "true"}
"""The label selector of unfinished Workflows, ``completed!=true``: it matches all Workflows whose label ``completed``
is missing or not true.

Finished Workflows are not listed, because the cluster keeps them for days and each of them is large.
"""

_ENDED_PHASES: Final = frozenset({"Succeeded", "Failed", "Error"})
_WATCH_SECONDS: Final = 240.0
_PAUSE_SECONDS: Final = 2.0
_PAUSE_WITHOUT_ARGO_SECONDS: Final = 5.0
"""The pause between two requests for Workflows on a cluster that does not have this resource.

Argo may be installed at any time. A refused list of an unknown resource costs the API server next to nothing."""

_PAUSE_IF_REFUSED_SECONDS: Final = 60.0
_STATUS_GONE: Final = 410
_STATUS_NOT_FOUND: Final = 404


class WorkflowReference(NamedTuple):
    """The name and, if known, the UID of the Workflow that owns a job."""

    name: str
    uid: str | None


class Workflows:
    """The unfinished Workflows of a namespace, kept up to date by ``follow``."""

    def __init__(self, cluster: Cluster, *, log: Callable[[str], None]) -> None:
        self._cluster, self._log = cluster, log
        self._unfinished: frozenset[str] = frozenset()
        self._is_known = False
        self._last_logged = ""
        self.changed = threading.Event()
        """An event that is set when a Workflow has ended, or when all Workflows have been listed."""

    def may_have_ended(self, owner: WorkflowReference) -> bool:
        """Return whether the Workflow that owns a job may have ended.

        It may have ended if it is not among the Workflows that were unfinished at the last observation. A Workflow that
        began after the last observation is not among them either. If the result is True, the caller must therefore read
        the Workflow with ``reason_for_end``. The result is always False if Workflows cannot be observed.
        """
        return self._is_known and owner.uid not in self._unfinished

    def follow(self, stop: threading.Event) -> None:
        """Keep the unfinished Workflows up to date until ``stop`` is set."""
        while not stop.is_set():
            stop.wait(self.follow_once())

    def follow_once(self) -> float:
        """List the Workflows, and watch them until the watch ends. Return the seconds to wait before the next call."""
        try:
            listed = self._cluster.list(WORKFLOWS, labels=_UNFINISHED)
            self._unfinished = frozenset(uid_of(each) for each in listed["items"] if not how_ended(each))
            self._is_known = True
            self.changed.set()
            if self._last_logged:
                self._log_once("Workflows are watched from now on.")
                self._last_logged = ""
            changes = self._cluster.watch(
                WORKFLOWS,
                labels=_UNFINISHED,
                resource_version=version_of(listed),
                timeout_seconds=_WATCH_SECONDS,
            )
            for kind, workflow in changes:
                self._take(kind, workflow)
        except ClusterUnavailableError:
            # The reaper's list of jobs logs the same error. The observations so far may be out of date.
            self._is_known = False
            return _PAUSE_SECONDS
        except ClusterRefusedError as error:
            if error.status == _STATUS_GONE:
                return 0.0
            self._is_known = False
            if error.status == _STATUS_NOT_FOUND:
                self._log_once("this cluster has no Workflows: only leases are watched.")
                return _PAUSE_WITHOUT_ARGO_SECONDS
            self._log_once(f"Workflows cannot be watched, only leases: {error}")
            return _PAUSE_IF_REFUSED_SECONDS
        return 0.0

    def reason_for_end(self, owner: WorkflowReference) -> str:
        """Read the Workflow itself, and return why it no longer needs its jobs; empty if it still needs them."""
        workflow = self._cluster.get(WORKFLOWS, owner.name, is_certain=True)
        if workflow is None or (owner.uid and uid_of(workflow) != owner.uid):
            return f"its Workflow {owner.name} no longer exists"
        ended = how_ended(workflow)
        return f"its Workflow {owner.name} {ended}" if ended else ""

    def _take(self, kind: str, workflow: Mapping[str, Any]) -> None:
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return
        # A Workflow that receives the label of finished ones leaves the selection, which is reported as DELETED.
        has_ended = kind == "DELETED" or bool(how_ended(workflow))
        before, uid = self._unfinished, uid_of(workflow)
        self._unfinished = before - {uid} if has_ended else before | {uid}
        if has_ended:
            self.changed.set()

    def _log_once(self, text: str) -> None:
        if text != self._last_logged:
            self._log(text)
            self._last_logged = text


def how_ended(workflow: Mapping[str, Any]) -> str:
    """Return how a Workflow has ended, in words that complete "The Workflow ..."; empty if it is unfinished."""
    if workflow["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    # Kubeflow Pipelines terminates a run in this way; the Workflow takes another 20 s to end.
    if workflow.get("spec", {}).get("activeDeadlineSeconds") == 0:
        return "was terminated"
    phase = workflow.get("status", {}).get("phase")
    return f"has ended ({phase})" if phase in _ENDED_PHASES else ""


def owner_of(job: Job, *, namespace: str) -> WorkflowReference | None:
    """Return a reference to the Workflow that owns a job; None if no Workflow of ``namespace`` owns the job."""
    for reference in job.owner_references:
        if reference.get("kind") == "Workflow":
            return WorkflowReference(reference["name"], reference["uid"])
    owner_namespace, _, name = job.annotations.get(names.ANNOTATION_WORKFLOW, "").partition("/")
    return WorkflowReference(name, None) if name and owner_namespace == namespace else None


def owner_reference_for(cluster: Cluster, pod: str | None) -> dict[str, Any] | None:
    """Return an owner reference to the Workflow of a launcher's pod; None if there is no pod or no Workflow.

    The pod itself is not the owner, because a step that is retried has another pod and the same job.

    Args:
        cluster: The cluster, with the namespace of the job. An object cannot own objects of another namespace.
        pod: The name of the launcher's pod; None outside of a cluster.

    Raises:
        ClusterUnavailableError: If the API cannot be reached.
    """
    if not pod:
        return None
    try:
        found = cluster.get(PODS, pod)
    except ClusterRefusedError:
        return None
    references = ((found or {}).get("metadata") or {}).get("ownerReferences") or []
    workflow = next((each for each in references if each.get("kind") == "Workflow" and each.get("controller")), None)
    if workflow is None:
        return None
    # The launcher's Role does not allow it to block the deletion of a Workflow.
    identity = {name: workflow[name] for name in ("apiVersion", "kind", "name", "uid")}
    return {**identity, "blockOwnerDeletion": False, "controller": False}
