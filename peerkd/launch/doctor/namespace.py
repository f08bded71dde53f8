"""The check of the namespace: whether it exists, which pods it admits, and whether other software runs in it."""

import re
from typing import Final

from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.kubernetes.client import NAMESPACES, PODS, Cluster

_STATUS_NOT_FOUND: Final = 404
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_LEVEL: Final = "restricted"
_PART_OF: Final = "app.kubernetes.io/part-of"
_PROFILE: Final = "kubeflow-profile"
"""The value of the label ``part-of`` that marks a Kubeflow user's namespace.

Kubeflow runs its own pods in such a namespace, so the labels of the namespace must not be changed."""

_OURS: Final = {_PART_OF: "peerkd"}
_OURS_BY_NAME: Final = {"app.kubernetes.io/name": "peerkd"}
_OTHERS: Final = frozenset(
    {
        "cert-manager",
        "default",
        "gatekeeper-system",
        "ingress-nginx",
        "istio-system",
        "jobset-system",
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
"""The names of namespaces that belong to components of the cluster.

Namespaces whose names begin with ``kube-`` or ``openshift-`` also belong to components, and are not listed here."""

_MORE: Final = re.compile(r"\(and (\d+) other pods?\)")


@check("namespace", action="get the namespace")
def check_namespace(cluster: Cluster) -> CheckResult:
    """Check the namespace: whether it exists, which pods it admits, and whether it has pods that are not peerkd's.

    The pod security level ``restricted`` is recommended only if no existing pod violates it.
    """
    name = cluster.namespace
    try:
        namespace = cluster.request("GET", f"/api/v1/namespaces/{name}")
    except ClusterRefusedError as error:
        if error.status != _STATUS_NOT_FOUND:
            raise
        return CheckResult(
            "namespace",
            False,
            f"The namespace {name} does not exist.",
            "Apply manifests/, or name another namespace with --namespace.",
        )
    level = (namespace["metadata"].get("labels") or {}).get(_ENFORCE, "privileged")
    num_others, num_violating = _num_pods_of_others(cluster), _num_violating(cluster)
    fix = "Leave its labels as they are, because they belong to the Kubeflow profile."
    if (namespace["metadata"].get("labels") or {}).get(_PART_OF) != _PROFILE:
        fix = (
            "Leave its labels as they are, and give peerkd a namespace of its own: kubectl create namespace peerkd, "
            "then apply manifests/ to it (docs/operators.md)."
        )
    if _is_of_component(name) or num_others or num_violating:
        text = f"The namespace {name} enforces the pod security level {level}"
        if num_others:
            text += f", and has {_pods(num_others)} besides those of peerkd"
        elif _is_of_component(name):
            text += ", and belongs to a component of the cluster"
        text += "."
        if num_violating and level != _LEVEL:
            text += f" The level {_LEVEL} would refuse {_pods(num_violating)} at the next start."
        return CheckResult("namespace", True, text, fix)
    if level == _LEVEL:
        return CheckResult("namespace", True, f"The namespace {name} admits restricted pods only.")
    text = f"The namespace {name} enforces the pod security level {level}; peerkd needs no more than {_LEVEL}."
    if num_others is None and num_violating is None:
        return CheckResult(
            "namespace",
            True,
            f"{text} Whether others have pods there is not known, because you may not list pods.",
            f"Ask who else uses the namespace before you label it {_ENFORCE}={_LEVEL}.",
        )
    return CheckResult("namespace", True, text, f"kubectl label namespace {name} {_ENFORCE}={_LEVEL}")


def _is_of_component(name: str) -> bool:
    return name in _OTHERS or name.startswith(("kube-", "openshift-"))


def _num_pods_of_others(cluster: Cluster) -> int | None:
    """Return the number of unfinished pods that peerkd has not created; None if the user may not list pods."""
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


def _num_violating(cluster: Cluster) -> int | None:
    """Return how many existing pods violate the pod security level ``restricted``.

    A dry run labels the namespace with this level, and the API answers with warnings that name or count the pods that
    violate the level. The result is None if the user may not make this dry run.
    """
    change = {"metadata": {"labels": {_ENFORCE: _LEVEL}}}
    try:
        warnings = cluster.dry_run_warnings(NAMESPACES, cluster.namespace, change)
    except ClusterRefusedError:
        return None
    # The first warning says that pods violate the level. Each further one names a pod and counts similar pods.
    named = [text for text in warnings if "violate the new PodSecurity" not in text and ": " in text]
    num = sum(1 + int(more[1]) if (more := _MORE.search(text)) else 1 for text in named)
    return num or int(any("violate the new PodSecurity" in text for text in warnings))


def _pods(num: int) -> str:
    return "1 pod" if num == 1 else f"{num} pods"
