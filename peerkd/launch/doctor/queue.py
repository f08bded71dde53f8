"""Checks of the queue that jobs are to wait in."""

from collections.abc import Mapping
from typing import Any

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.finding import Finding, check
from peerkd.launch.kubernetes.client import CLUSTER_QUEUES, LOCAL_QUEUES, Cluster


@check("queue", asked="get the queues of the namespace")
def check_queue(cluster: Cluster, settings: ClusterConfig) -> Finding | None:
    """Check that the queue exists and that it and its cluster queue admit jobs."""
    if settings.queue is None:
        return None
    queue = cluster.get(LOCAL_QUEUES, settings.queue)
    if queue is None:
        there = [each["metadata"]["name"] for each in cluster.list(LOCAL_QUEUES)["items"]]
        return Finding(
            "queue",
            False,
            f"The queue {settings.queue} does not exist in {cluster.namespace}; it has {', '.join(there) or 'none'}.",
            "Apply the component manifests/components/kueue, or set queue to one that exists.",
        )
    why = _why_inactive(queue)
    if why:
        return Finding(
            "queue",
            False,
            f"The queue {settings.queue} admits no jobs: {why}",
            f"kubectl describe localqueue {settings.queue} --namespace {cluster.namespace}",
        )
    return Finding("queue", True, f"The queue {settings.queue} of {queue['spec']['clusterQueue']} is active.")


@check("cluster queue", asked="get cluster queues")
def check_cluster_queue(cluster: Cluster, settings: ClusterConfig) -> Finding | None:
    """Check that the cluster queue behind the queue has the GPUs that a job asks for."""
    if settings.queue is None:
        return None
    queue = cluster.get(LOCAL_QUEUES, settings.queue)
    if queue is None:
        return None
    name = queue["spec"]["clusterQueue"]
    behind = cluster.get(CLUSTER_QUEUES, name)
    if behind is None:
        return Finding(
            "cluster queue", False, f"The queue {settings.queue} is of {name}, which does not exist.", f"Create {name}."
        )
    wanted = settings.num_workers * settings.gpus_per_worker
    flavours = [
        (flavour["name"], resource)
        for group in behind["spec"].get("resourceGroups", [])
        for flavour in group["flavors"]
        for resource in flavour["resources"]
        if resource["name"] == settings.gpu_resource
    ]
    if not wanted:
        return Finding("cluster queue", True, f"{name} exists.")
    # A job's workers may be of several flavours only if each fits one: the largest decides.
    most = max(
        (int(each.get("nominalQuota", 0)) + int(each.get("borrowingLimit", 0)) for _, each in flavours), default=0
    )
    limitless = behind["spec"].get("cohortName") and any("borrowingLimit" not in each for _, each in flavours)
    if not limitless and most < wanted:
        return Finding(
            "cluster queue",
            False,
            f"{name} has at most {most} of {settings.gpu_resource} in one flavour, and a job needs {wanted}: it would "
            "wait for ever.",
            f"Raise nominalQuota of {name}, or ask for fewer workers or GPUs.",
        )
    return Finding("cluster queue", True, f"{name} can give the {wanted} of {settings.gpu_resource} that a job needs.")


def _why_inactive(queue: Mapping[str, Any]) -> str:
    conditions = (queue.get("status") or {}).get("conditions") or []
    active = next((each for each in conditions if each["type"] == "Active"), None)
    if active is None:
        return "Kueue has not looked at it yet."
    return "" if active["status"] == "True" else str(active.get("message") or active.get("reason"))
