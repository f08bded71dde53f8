"""Checks that the cluster would accept what a launcher creates, by dry runs: nothing is created."""

from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.finding import Finding, check, not_allowed
from peerkd.launch.kubernetes.client import NODES, PODS, PYTORCHJOBS, SERVICE_ACCOUNTS, Cluster, Resource
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder

_STATUS_FORBIDDEN: Final = 403


def sample_job(settings: ClusterConfig, store: str) -> dict[str, Any]:
    """Return a job such as a launcher creates, of an order made up for the checks."""
    order = StageOrder(stage="distill_pairs", config_json="{}", store=store, inputs={}, key="distill_pairs/doctor")
    return manifest_for(order, settings)


def check_job(cluster: Cluster, settings: ClusterConfig, store: str) -> Finding:
    """Check that a job would be accepted by its schema, by webhooks and by policies."""
    return _try(cluster, "job", PYTORCHJOBS, sample_job(settings, store), "a job", asked="create PyTorchJobs")


def check_worker(cluster: Cluster, settings: ClusterConfig, store: str) -> Finding:
    """Check that a worker's pod would be accepted: pod security, quota, service account, priority class."""
    template = sample_job(settings, store)["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "peerkd-doctor"},
        "spec": {**template["spec"], "restartPolicy": "Never"},
    }
    return _try(cluster, "worker", PODS, pod, "a worker", asked="create pods, which nobody but the operator must")


@check("service account", asked="get service accounts")
def check_service_account(cluster: Cluster, settings: ClusterConfig) -> Finding:
    """Check that the workers' account exists: without it no pod is created, and no error is reported."""
    if cluster.get(SERVICE_ACCOUNTS, settings.service_account):
        return Finding("service account", True, f"The workers' account {settings.service_account} exists.")
    return Finding(
        "service account",
        False,
        f"The workers' account {settings.service_account} does not exist in {cluster.namespace}: no pod would start.",
        "Apply manifests/base, or set service_account in the cluster's settings.",
    )


@check("image", asked="list nodes")
def check_image(cluster: Cluster, settings: ClusterConfig, store: str) -> Finding:
    """Check the form of the image that workers get, and count the nodes that have it."""
    worker = sample_job(settings, store)["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]
    image = worker["containers"][0]["image"]
    name, _, tag = image.rpartition("/")[2].partition("@" if "@" in image else ":")
    if not name or not tag or tag == "latest":
        return Finding(
            "image",
            False,
            f"The trainer's image must have a tag or a digest, and not latest, got {image}.",
            "Set image in the cluster's settings, as in image=registry.example/peerkd-trainer:0.1.0.",
        )
    nodes = cluster.list(NODES)["items"]
    num_there = sum(_has(node, image) for node in nodes)
    if num_there:
        return Finding("image", True, f"{image} is on {num_there} of {len(nodes)} nodes.")
    if settings.image_pull_policy == "Never":
        return Finding(
            "image",
            False,
            f"{image} is on none of {len(nodes)} nodes, and none may pull it.",
            "Load it onto the nodes, or set image_pull_policy=IfNotPresent.",
        )
    return Finding(
        "image",
        None,
        f"{image} is on none of {len(nodes)} nodes yet; the first worker pulls it.",
        "Make sure that the nodes can pull it, or load it onto them before the first run.",
    )


def _has(node: dict[str, Any], image: str) -> bool:
    return any(image in (each.get("names") or []) for each in node["status"].get("images") or [])


def _try(cluster: Cluster, name: str, kind: Resource, body: dict[str, Any], what: str, *, asked: str) -> Finding:
    try:
        cluster.create(kind, body, is_dry_run=True)
    except ClusterRefusedError as error:
        # Missing permissions and refusals of policies both have the status 403; only the former have these words.
        if error.status == _STATUS_FORBIDDEN and " cannot create resource " in str(error):
            return not_allowed(name, asked)
        return Finding(name, False, f"The cluster would not take {what}: {error}", "Correct what it names.")
    return Finding(name, True, f"The cluster would take {what} in {cluster.namespace}.")
