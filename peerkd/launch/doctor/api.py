"""Checks of the cluster itself: reachable, new enough, with the kinds of objects and the operator that jobs need."""

import re
from collections.abc import Mapping
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import Cluster

MIN_MINOR: Final = 27
"""The oldest Kubernetes 1.x whose Jobs API and pod security the manifests are written for."""

MIN_OPERATOR: Final = (1, 9)
_OPERATOR_NAME: Final = "training-operator"
_STATUS_NOT_FOUND: Final = 404


@check("cluster", asked="ask for its version")
def check_reachable(cluster: Cluster) -> Finding:
    """Ask for the version, which needs no permission."""
    told = cluster.request("GET", "/version", timeout_seconds=10)
    version = str(told.get("gitVersion", "unknown"))
    minor = re.match(r"v1\.(\d+)", version)
    if minor and int(minor[1]) < MIN_MINOR:
        return Finding(
            "cluster", False, f"{cluster.address} is Kubernetes {version}.", f"Upgrade it to 1.{MIN_MINOR} or newer."
        )
    return Finding("cluster", True, f"{cluster.address} is Kubernetes {version}.")


@check("pytorchjobs", asked="ask what kinds of objects there are")
def check_pytorchjobs(cluster: Cluster) -> Finding:
    """Check that the cluster serves PyTorchJobs."""
    if _serves(cluster, "kubeflow.org", "v1", "pytorchjobs"):
        return Finding("pytorchjobs", True, "The cluster knows PyTorchJobs.")
    return Finding(
        "pytorchjobs",
        False,
        "The cluster does not serve PyTorchJobs, and every job is one.",
        "Install the training operator 1.9, for instance with manifests/third-party.",
    )


def has_workflows(cluster: Cluster) -> bool:
    """Return whether the cluster knows Workflows; False also where that may not be asked."""
    try:
        return _serves(cluster, "argoproj.io", "v1alpha1", "workflows")
    except ClusterRefusedError:
        return False


@check("workflows", asked="ask what kinds of objects there are")
def check_workflows(cluster: Cluster) -> Finding:
    """Check whether Kubeflow Pipelines may be installed, which creates Workflows."""
    if _serves(cluster, "argoproj.io", "v1alpha1", "workflows"):
        return Finding("workflows", True, "The cluster knows Argo's Workflows: Kubeflow Pipelines can run here.")
    return Finding(
        "workflows",
        None,
        "The cluster knows no Workflows: pipelines run from a laptop, with peerkd run --backend kubernetes.",
        "Install Kubeflow Pipelines, if pipelines are to run on the cluster.",
    )


@check("operator", asked="list deployments of all namespaces")
def check_operator(cluster: Cluster) -> Finding:
    """Check that the training operator runs."""
    found = cluster.request(
        "GET", "/apis/apps/v1/deployments", query=[("fieldSelector", f"metadata.name={_OPERATOR_NAME}")]
    )["items"]
    if not found:
        return Finding(
            "operator",
            False,
            "The training operator is not installed: no job would start.",
            "Install version 1.9.",
        )
    operator = found[0]
    where = f"{operator['metadata']['namespace']}/{_OPERATOR_NAME}"
    version = _version(operator)
    num_ready = (operator.get("status") or {}).get("readyReplicas", 0)
    if not num_ready:
        return Finding(
            "operator",
            False,
            f"The training operator {where} is not ready.",
            f"kubectl describe pods --namespace {operator['metadata']['namespace']}",
        )
    if version and tuple(int(part) for part in version.split(".")[:2]) < MIN_OPERATOR:
        return Finding("operator", False, f"The training operator {where} is {version}.", "Upgrade it to 1.9.")
    return Finding("operator", True, f"The training operator {where} is ready{f' ({version})' if version else ''}.")


@check("kueue", asked="ask what kinds of objects there are")
def check_kueue(cluster: Cluster, settings: ClusterConfig) -> Finding | None:
    """Check that Kueue is installed, if a queue is set."""
    if settings.queue is None:
        return None
    for version in ("v1beta2", "v1beta1"):
        if _serves(cluster, "kueue.x-k8s.io", version, "localqueues"):
            old = version == "v1beta1"
            return Finding(
                "kueue",
                not old,
                f"The cluster knows Kueue's queues ({version}).",
                "Upgrade Kueue to a version with the API v1beta2." if old else "",
            )
    return Finding(
        "kueue",
        False,
        f"The cluster has no Kueue, and the queue {settings.queue} is set.",
        "Install Kueue, or leave queue out of the cluster's settings.",
    )


def _serves(cluster: Cluster, group: str, version: str, plural: str) -> bool:
    """Return whether the API serves a kind of object, which everybody may ask."""
    try:
        offered = cluster.request("GET", f"/apis/{group}/{version}")
    except ClusterRefusedError as error:
        if error.status == _STATUS_NOT_FOUND:
            return False
        raise
    return any(each["name"] == plural for each in offered.get("resources", []))


def _version(deployment: Mapping[str, Any]) -> str:
    """Return the version in an image's tag, as 1.9.3 in ...:v1.9.3; empty if the tag has none."""
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    found = re.search(r":v?(\d+\.\d+\.\d+)", image)
    return found[1] if found else ""
