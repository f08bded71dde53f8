"""The check of the jobs' namespace: whether it exists, which pods it admits, and who else uses it."""

import re
from typing import Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import NAMESPACES, PODS, Cluster

_STATUS_NOT_FOUND: Final = 404
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_LEVEL: Final = "restricted"
_PART_OF: Final = "app.kubernetes.io/part-of"
_PROFILE: Final = "kubeflow-profile"
"""A user's namespace, in which Kubeflow has pods of its own beside the user's runs."""

_OURS: Final = {_PART_OF: "peerkd"}
_OURS_BY_NAME: Final = {"app.kubernetes.io/name": "peerkd"}
_OTHERS: Final = frozenset(
    {
        "cert-manager",
        "default",
        "gatekeeper-system",
        "ingress-nginx",
        "istio-system",
        "knative-serving",
        "kserve",
        "kubeflow",
        "kubeflow-system",
        "kueue-system",
        "local-path-storage",
        "monitoring",
        "openshift",
        "training-operator",
    }
)
"""Namespaces that belong to parts of a cluster, besides those whose names begin with ``kube-`` or ``openshift-``."""

_MORE: Final = re.compile(r"\(and (\d+) other pods?\)")


@check("namespace", asked="get the namespace")
def check_namespace(cluster: Cluster) -> Finding:
    """Check that the namespace exists, which pods it admits, and whether others have pods in it.

    The level ``restricted`` is recommended only if it would keep no pods out, according to the API's own warnings.
    """
    name = cluster.namespace
    try:
        namespace = cluster.request("GET", f"/api/v1/namespaces/{name}")
    except ClusterRefusedError as error:
        if error.status != _STATUS_NOT_FOUND:
            raise
        return Finding(
            "namespace",
            False,
            f"The namespace {name} does not exist.",
            "Apply manifests/, or name another with --namespace.",
        )
    level = (namespace["metadata"].get("labels") or {}).get(_ENFORCE, "privileged")
    others, kept_out = _pods_of_others(cluster), _num_kept_out(cluster)
    own = "Leave its labels as they are: they are the profile's."
    if (namespace["metadata"].get("labels") or {}).get(_PART_OF) != _PROFILE:
        own = (
            "Leave its labels as they are, and give peerkd a namespace of its own: kubectl create namespace peerkd, "
            "then apply manifests/ to it (docs/operators.md)."
        )
    if _is_of_others(name) or others or kept_out:
        told = f"The namespace {name} enforces the pod security level {level}"
        if others:
            told += f", and has {_pods(others)} besides peerkd's"
        elif _is_of_others(name):
            told += ", and belongs to a part of the cluster"
        told += "."
        if kept_out and level != _LEVEL:
            told += f" The level {_LEVEL} would keep {_pods(kept_out)} out at the next start."
        return Finding("namespace", True, told, own)
    if level == _LEVEL:
        return Finding("namespace", True, f"The namespace {name} admits restricted pods only.")
    told = f"The namespace {name} enforces the pod security level {level}; peerkd needs no more than {_LEVEL}."
    if others is None and kept_out is None:
        return Finding(
            "namespace",
            True,
            f"{told} Whether others have pods there is not known, since you may not list pods.",
            f"Ask who else uses the namespace before you label it {_ENFORCE}={_LEVEL}.",
        )
    return Finding("namespace", True, told, f"kubectl label namespace {name} {_ENFORCE}={_LEVEL}")


def _is_of_others(name: str) -> bool:
    return name in _OTHERS or name.startswith(("kube-", "openshift-"))


def _pods_of_others(cluster: Cluster) -> int | None:
    """Return the number of running or waiting pods that are not peerkd's; None if you may not list them."""
    try:
        pods = cluster.list(PODS)["items"]
    except ClusterRefusedError:
        return None
    return sum(
        not _is_ours(pod["metadata"].get("labels") or {})
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        for pod in pods
    )


def _is_ours(labels: dict[str, str]) -> bool:
    return any(labels.items() >= ours.items() for ours in (_OURS, _OURS_BY_NAME))


def _num_kept_out(cluster: Cluster) -> int | None:
    """Return the number of running pods that the level would refuse, as the API counts; None if it may not be asked."""
    change = {"metadata": {"labels": {_ENFORCE: _LEVEL}}}
    try:
        warnings = cluster.dry_run_warnings(NAMESPACES, cluster.namespace, change)
    except ClusterRefusedError:
        return None
    # The first warning says that pods violate the level; each further one names a pod and counts those like it.
    named = [text for text in warnings if "violate the new PodSecurity" not in text and ": " in text]
    num = sum(1 + int(more[1]) if (more := _MORE.search(text)) else 1 for text in named)
    return num or int(any("violate the new PodSecurity" in text for text in warnings))


def _pods(num: int) -> str:
    return "1 pod" if num == 1 else f"{num} pods"
