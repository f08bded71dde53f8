"""Checks of the queue in which jobs wait."""

from collections.abc import Mapping
from typing import Any

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.kubernetes.client import CLUSTER_QUEUES, LOCAL_QUEUES, RESOURCE_FLAVORS, TOPOLOGIES, Cluster


@check("queue", action="get the queues of the namespace")
def check_queue(cluster: Cluster, settings: ClusterConfig) -> CheckResult | None:
    """Check that the queue of the settings exists, and that Kueue admits jobs from it.

    Return None if the settings name no queue.
    """
    if settings.queue is None:
        return None
    queue = cluster.get(LOCAL_QUEUES, settings.queue)
    if queue is None:
        existing = ", ".join(each["metadata"]["name"] for each in cluster.list(LOCAL_QUEUES)["items"])
        return CheckResult(
            "queue",
            False,
            f"The queue {settings.queue} does not exist in {cluster.namespace}; it has {existing or 'none'}.",
            "Apply the component manifests/components/kueue, or set queue to one that exists.",
        )
    reason = _reason_for_inactivity(queue)
    if reason:
        return CheckResult(
            "queue",
            False,
            f"The queue {settings.queue} admits no jobs: {reason}",
            f"kubectl describe localqueue {settings.queue} --namespace {cluster.namespace}",
        )
    return CheckResult("queue", True, f"The queue {settings.queue} of {queue['spec']['clusterQueue']} is active.")


@check("cluster queue", action="get cluster queues")
def check_cluster_queue(cluster: Cluster, settings: ClusterConfig) -> CheckResult | None:
    """Check that the ClusterQueue to which the queue belongs has as many GPUs as one job requests.

    Return None if the settings name no queue, or if the queue does not exist.
    """
    if settings.queue is None:
        return None
    queue = cluster.get(LOCAL_QUEUES, settings.queue)
    if queue is None:
        return None
    name = queue["spec"]["clusterQueue"]
    cluster_queue = cluster.get(CLUSTER_QUEUES, name)
    if cluster_queue is None:
        return CheckResult(
            "cluster queue",
            False,
            f"The queue {settings.queue} belongs to {name}, which does not exist.",
            f"Create {name}.",
        )
    wanted = settings.num_workers * settings.gpus_per_worker
    flavors = [
        (flavor["name"], resource)
        for group in cluster_queue["spec"].get("resourceGroups", [])
        for flavor in group["flavors"]
        for resource in flavor["resources"]
        if resource["name"] == settings.gpu_resource
    ]
    if not wanted:
        return CheckResult("cluster queue", True, f"{name} exists.")
    # All workers of a job must be of one flavor, so the largest flavor decides.
    most = max(
        (int(each.get("nominalQuota", 0)) + int(each.get("borrowingLimit", 0)) for _, each in flavors), default=0
    )
    is_unlimited = cluster_queue["spec"].get("cohortName") and any("borrowingLimit" not in each for _, each in flavors)
    if not is_unlimited and most < wanted:
        return CheckResult(
            "cluster queue",
            False,
            f"{name} has at most {most} of {settings.gpu_resource} in one flavor, and a job needs {wanted}: it would "
            "never start.",
            f"Raise nominalQuota of {name}, or request fewer workers or GPUs.",
        )
    return CheckResult("cluster queue", True, f"{name} has the {wanted} of {settings.gpu_resource} that a job needs.")


@check("topology", action="get flavors and topologies")
def check_topology(cluster: Cluster, settings: ClusterConfig) -> CheckResult | None:
    """Check that a pool of the queue has the level of the topology that the settings name.

    Return None if the settings name no topology, or if the queue or its ClusterQueue does not exist.
    """
    if settings.queue is None or settings.topology is None:
        return None
    queue = cluster.get(LOCAL_QUEUES, settings.queue)
    cluster_queue = queue and cluster.get(CLUSTER_QUEUES, queue["spec"]["clusterQueue"])
    if cluster_queue is None:
        return None
    level, levels = settings.topology.level, set[str]()
    for group in cluster_queue["spec"].get("resourceGroups", []):
        for named in group["flavors"]:
            flavor = cluster.get(RESOURCE_FLAVORS, named["name"])
            name = ((flavor or {}).get("spec") or {}).get("topologyName")
            topology = cluster.get(TOPOLOGIES, name) if name else None
            levels |= {each["nodeLabel"] for each in (topology or {"spec": {"levels": []}})["spec"]["levels"]}
    if level not in levels:
        return CheckResult(
            "topology",
            False,
            f"No pool of the queue {settings.queue} has the level {level}, so a job would never start; the levels of "
            f"its pools are {', '.join(sorted(levels)) or 'none'}.",
            "Set topology.level to one of them, or give a ResourceFlavor of the queue a Topology with this level.",
        )
    return CheckResult("topology", True, f"The queue {settings.queue} has a pool with the level {level}.")


def _reason_for_inactivity(queue: Mapping[str, Any]) -> str:
    conditions = (queue.get("status") or {}).get("conditions") or []
    active = next((each for each in conditions if each["type"] == "Active"), None)
    if active is None:
        return "Kueue has not processed it yet."
    return "" if active["status"] == "True" else str(active.get("message") or active.get("reason"))
