"""The Workflow that the launcher is a step of: it owns the job, so that whoever deletes the run deletes the job."""

from collections.abc import Mapping
from typing import Any

from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes.client import PODS, Cluster


def find_owner(cluster: Cluster, pod: str | None) -> dict[str, Any] | None:
    """Return a reference to the Workflow that a pod belongs to; None if there is no pod, or no Workflow.

    Not the pod itself is the owner: a retried step has another pod and the same job.

    Args:
        cluster: In the namespace of the job; an owner in another one is no owner.
        pod: The launcher's own, or None outside of a cluster.

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
    return _reference(workflow) if workflow else None


def _reference(workflow: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": workflow["apiVersion"],
        "kind": workflow["kind"],
        "name": workflow["name"],
        "uid": workflow["uid"],
        # The operator that makes the pods is not told to wait for the Workflow, nor may the launcher's Role say so.
        "blockOwnerDeletion": False,
        "controller": False,
    }
