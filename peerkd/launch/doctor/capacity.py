"""Checks of capacity: the quotas of the namespace, the sizes of the nodes, and what is free."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.doctor.occupancy import Amounts, Object, quantity, requests_by_node
from peerkd.launch.kubernetes.client import NODES, RESOURCE_QUOTAS, Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.wording import plural

LIMIT_RANGES: Final = Resource("", "v1", "limitranges")

_NOT_LISTED: Final = "what is free now is unknown, because you may not list the pods of all namespaces"


@check("quota", action="list resource quotas")
def check_quota(cluster: Cluster, settings: ClusterConfig, kinds: Sequence[JobKind]) -> CheckResult:
    """Check that the quotas of the namespace have room for one job.

    With a quota of CPU or memory, the cluster refuses every pod that does not state its request for that resource. If
    there is such a quota, the check also requires a LimitRange, which sets default requests for these pods.
    """
    exceeded = []
    requests = _requests(settings, kinds)
    quotas = cluster.list(RESOURCE_QUOTAS)["items"]
    for quota in quotas:
        status = quota.get("status") or {}
        used = status.get("used") or {}
        for name, hard in (status.get("hard") or {}).items():
            left = quantity(hard) - quantity(used.get(name, "0"))
            if name in requests and left < requests[name]:
                exceeded.append(f"{name} has {_plain(left)} left of {hard}, and a job takes {_plain(requests[name])}")
    if exceeded:
        return CheckResult(
            "quota",
            False,
            f"A job of {settings.num_workers} exceeds the quotas of {cluster.namespace}: {'; '.join(exceeded)}.",
            "Wait for other jobs, request fewer or smaller workers, or raise the ResourceQuota.",
        )
    counted = {name for quota in quotas for name in (quota.get("status") or {}).get("hard") or {}}
    if counted & {"requests.cpu", "requests.memory", "limits.memory", "limits.cpu", "cpu", "memory"}:
        ranges = cluster.list(LIMIT_RANGES)["items"]
        if not any(limit["type"] == "Container" for each in ranges for limit in each["spec"]["limits"]):
            return CheckResult(
                "quota",
                False,
                f"{cluster.namespace} has a quota of CPU or memory and no LimitRange: launchers in a pipeline, which "
                "request nothing, would be refused.",
                "Apply limits.yaml of manifests/base.",
            )
    return CheckResult("quota", True, f"A job of {settings.num_workers} fits into the quotas of {cluster.namespace}.")


@check("nodes", action="list nodes")
def check_nodes(cluster: Cluster, settings: ClusterConfig, pods: Callable[[], Sequence[Object] | None]) -> CheckResult:
    """Check that enough nodes are large enough for the workers of one job, and count the workers that fit now.

    The check passes if the workers would fit into empty nodes, because the requests of other pods change all the time.

    Args:
        cluster: The cluster.
        settings: The settings of the job.
        pods: A function that returns the pods of all namespaces, or None if the user may not list them.
    """
    wanted = {"cpu": quantity(settings.cpu_per_worker), "memory": quantity(settings.memory_per_worker)}
    if settings.gpus_per_worker:
        wanted[settings.gpu_resource] = settings.gpus_per_worker
    nodes = [node for node in cluster.list(NODES)["items"] if _admits(node, settings)]
    room = _room(nodes, wanted, {})
    worker = ", ".join(f"{name} {_plain(value)}" for name, value in wanted.items())
    if room < settings.num_workers:
        return CheckResult(
            "nodes",
            False,
            f"{len(nodes)} nodes on which workers may run have room for {room} workers ({worker}), even if empty, and "
            f"a job has {settings.num_workers}.",
            "Request less, add nodes, or correct node_selector and tolerations. A pool that is scaled up from zero has "
            "no nodes until a job waits for them.",
        )
    there = f"{len(nodes)} nodes have room for {room} workers ({worker}), if empty"
    known = pods()
    if known is None:
        return CheckResult("nodes", True, f"{there}; {_NOT_LISTED}.")
    room_now = _room(nodes, wanted, requests_by_node(known))
    waits = f", so a job of {settings.num_workers} waits" if room_now < settings.num_workers else ""
    return CheckResult("nodes", True, f"{there}, and for {room_now} now{waits}.")


@check("gpus", action="list nodes")
def check_gpus(
    cluster: Cluster, settings: ClusterConfig, pods: Callable[[], Sequence[Object] | None]
) -> CheckResult | None:
    """Count the GPUs of each pool of nodes: how many there are, how many pods have requested, and how many are free.

    Return None if no node has GPUs. The arguments are those of ``check_nodes``.
    """
    resource = settings.gpu_resource
    pools: defaultdict[str, list[Object]] = defaultdict(list)
    for node in cluster.list(NODES)["items"]:
        if quantity(node["status"]["allocatable"].get(resource, "0")):
            pools[_pool(node, settings)].append(node)
    if not pools:
        return None
    known = pods()
    requests = requests_by_node(known or ())
    told = []
    for name, nodes in sorted(pools.items()):
        num = sum(int(quantity(node["status"]["allocatable"][resource])) for node in nodes)
        requested = int(sum(requests[node["metadata"]["name"]][resource] for node in nodes))
        used = "" if known is None else f", {requested} requested by pods, {max(0, num - requested)} free"
        told.append(f"{name}, {plural(len(nodes), 'node')}: {num}{used}")
    text = f"{resource}: {'; '.join(told)}."
    if known is None:
        fix = "Have an administrator allow you to list the pods of all namespaces, as docs/operators.md says."
        return CheckResult("gpus", None, f"{text} {_NOT_LISTED.capitalize()}.", fix)
    num_waiting = int(requests[""][resource])
    waiting = f" Pods that wait for a node request {num_waiting} more." if num_waiting else ""
    return CheckResult("gpus", True, text + waiting)


def _room(nodes: Iterable[Object], wanted: Mapping[str, float], requests: Mapping[str, Amounts]) -> int:
    """Return the number of workers for which nodes have room.

    Args:
        nodes: The nodes.
        wanted: What a worker requests, by resource.
        requests: What the pods of each node request, by the name of the node.
    """
    num = 0
    for node in nodes:
        used = requests.get(node["metadata"]["name"], Amounts())
        free = {name: quantity(node["status"]["allocatable"].get(name, "0")) - used[name] for name in wanted}
        num += max(0, min(int(free[name] // value) for name, value in wanted.items()))
    return num


def _pool(node: Object, settings: ClusterConfig) -> str:
    """Return the name of a node's pool: the product of its GPUs or, without such a label, the selected labels."""
    labels = node["metadata"].get("labels") or {}
    product = next((labels[name] for name in _product_labels(settings.gpu_resource) if name in labels), None)
    selected = [f"{name}={labels[name]}" for name in settings.node_selector if name in labels]
    name = product or " ".join(selected) or "nodes without a label of their GPUs"
    return name if _admits(node, settings) else f"{name} (closed to workers)"


def _product_labels(resource: str) -> tuple[str, str]:
    """Return the labels in which NVIDIA and AMD write the product of a node's GPUs."""
    return f"{resource}.product", f"{resource}.product-name"


def _requests(settings: ClusterConfig, kinds: Sequence[JobKind]) -> Mapping[str, float]:
    """Return the amount that one job requests of every resource that a quota may limit."""
    num = settings.num_workers
    cpu, memory = num * quantity(settings.cpu_per_worker), num * quantity(settings.memory_per_worker)
    gpus = num * settings.gpus_per_worker
    requests: dict[str, float] = {
        "pods": num,
        "count/pods": num,
        **{f"count/{kind.resource.plural}.{kind.resource.group}": 1 for kind in kinds},
        **dict.fromkeys(("cpu", "requests.cpu", "limits.cpu"), cpu),
        **dict.fromkeys(("memory", "requests.memory", "limits.memory"), memory),
    }
    return requests | ({f"requests.{settings.gpu_resource}": gpus} if gpus else {})


def _admits(node: Mapping[str, Any], settings: ClusterConfig) -> bool:
    spec, labels = node["spec"], node["metadata"].get("labels") or {}
    if spec.get("unschedulable"):
        return False
    if any(labels.get(key) != value for key, value in settings.node_selector.items()):
        return False
    return all(
        taint["effect"] == "PreferNoSchedule" or _tolerated(taint, settings.tolerations)
        for taint in spec.get("taints") or []
    )


def _tolerated(taint: Mapping[str, Any], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    return any(
        each.get("effect", taint["effect"]) == taint["effect"]
        and each.get("key", taint["key"]) == taint["key"]
        and (each.get("operator") == "Exists" or each.get("value", "") == taint.get("value", ""))
        for each in tolerations
    )


def _plain(value: float) -> str:
    for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
