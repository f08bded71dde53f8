"""Checks of the cluster itself: its version, its resources, and the controllers that jobs need."""

import re
from collections.abc import Mapping
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.kubernetes.client import LOCAL_QUEUES, WORKFLOWS, Cluster
from peerkd.launch.kubernetes.kinds.kind import JobKind

MIN_MINOR: Final = 27
"""The minor version of the oldest Kubernetes 1 that peerkd supports.

Older versions lack parts of the Jobs API, or security settings of pods that the manifests use.
"""

_OLD_KUEUE: Final = "v1beta1"


@check("cluster", action="ask for its version")
def check_reachable(cluster: Cluster) -> CheckResult:
    """Check that the API answers, and that its version is new enough."""
    answer = cluster.request("GET", "/version", timeout_seconds=10)
    version = str(answer.get("gitVersion", "unknown"))
    minor = re.match(r"v1\.(\d+)", version)
    if minor and int(minor[1]) < MIN_MINOR:
        return CheckResult(
            "cluster", False, f"{cluster.address} is Kubernetes {version}.", f"Upgrade it to 1.{MIN_MINOR} or newer."
        )
    return CheckResult("cluster", True, f"{cluster.address} is Kubernetes {version}.")


@check("job kind", action="ask which resources exist")
def check_kind(cluster: Cluster, kind: JobKind) -> CheckResult:
    """Check that the cluster serves a kind of job, and the objects that its controller creates."""
    controller = kind.controller
    if cluster.serves(kind.resource):
        lacking = [resource for resource in kind.dependents if not cluster.serves(resource)]
        if not lacking:
            return CheckResult("job kind", True, f"The cluster has {kind.name}s.")
        needed = ", ".join(f"{resource.plural}.{resource.group}" for resource in lacking)
        return CheckResult(
            "job kind",
            False,
            f"The cluster has {kind.name}s, and no {needed}, with which the {controller.title} creates pods.",
            "Install what is missing, for instance with manifests/third-party.",
        )
    return CheckResult(
        "job kind",
        False,
        f"The cluster has no {kind.name}s, and every job is one.",
        f"Install the {controller.title} {_join(controller.min_version)}, for instance with manifests/third-party.",
    )


def has_workflows(cluster: Cluster) -> bool:
    """Return whether the cluster serves Argo Workflows; False if the user lacks the permission to ask."""
    try:
        return cluster.serves(WORKFLOWS)
    except ClusterRefusedError:
        return False


@check("workflows", action="ask which resources exist")
def check_workflows(cluster: Cluster) -> CheckResult:
    """Check whether the cluster serves Argo Workflows, without which Kubeflow Pipelines cannot run."""
    if cluster.serves(WORKFLOWS):
        return CheckResult("workflows", True, "The cluster has Argo Workflows: Kubeflow Pipelines can run here.")
    return CheckResult(
        "workflows",
        None,
        "The cluster has no Workflows: pipelines run from a laptop, with peerkd run --backend kubernetes.",
        "Install Kubeflow Pipelines, if pipelines are to run on the cluster.",
    )


@check("operator", action="list deployments of all namespaces")
def check_controller(cluster: Cluster, kind: JobKind) -> CheckResult:
    """Check that the controller of a kind of job is ready and new enough."""
    title, deployment, min_version = kind.controller
    found = cluster.request(
        "GET", "/apis/apps/v1/deployments", query=[("fieldSelector", f"metadata.name={deployment}")]
    )["items"]
    if not found:
        return CheckResult(
            "operator",
            False,
            f"The {title} is not installed: no job would start.",
            f"Install version {_join(min_version)}.",
        )
    controller = found[0]
    namespace = controller["metadata"]["namespace"]
    subject = f"The {title} {namespace}/{deployment}"
    version = _version(controller)
    if not (controller.get("status") or {}).get("readyReplicas", 0):
        return CheckResult(
            "operator", False, f"{subject} is not ready.", f"kubectl describe pods --namespace {namespace}"
        )
    if version and tuple(int(part) for part in version.split(".")[:2]) < min_version:
        return CheckResult("operator", False, f"{subject} is {version}.", f"Upgrade it to {_join(min_version)}.")
    return CheckResult("operator", True, f"{subject} is ready{f' ({version})' if version else ''}.")


@check("kueue", action="ask which resources exist")
def check_kueue(cluster: Cluster, settings: ClusterConfig) -> CheckResult | None:
    """Check that Kueue is installed. Return None if the settings name no queue, because Kueue is then not needed."""
    if settings.queue is None:
        return None
    if cluster.serves(LOCAL_QUEUES):
        return CheckResult("kueue", True, f"The cluster has Kueue's queues ({LOCAL_QUEUES.version}).")
    if cluster.serves(LOCAL_QUEUES._replace(version=_OLD_KUEUE)):
        return CheckResult(
            "kueue",
            False,
            f"The cluster has Kueue's queues ({_OLD_KUEUE}).",
            f"Upgrade Kueue to a version with the API {LOCAL_QUEUES.version}.",
        )
    return CheckResult(
        "kueue",
        False,
        f"The queue {settings.queue} is set, and the cluster has no Kueue.",
        "Install Kueue, or remove queue from the cluster's settings.",
    )


def _join(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def _version(deployment: Mapping[str, Any]) -> str:
    """Return the version in the tag of a deployment's image, such as 1.9.3 for v1.9.3.

    The result is empty if the tag is not a version.
    """
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    found = re.search(r":v?(\d+\.\d+\.\d+)", image)
    return found[1] if found else ""
