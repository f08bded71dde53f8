"""Checks of capacity: the quotas of the namespace, and the sizes of the nodes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from peerkd.config.cluster import ClusterConfig, amount
from peerkd.launch.doctor.check import CheckResult, check
from peerkd.launch.kubernetes.client import NODES, RESOURCE_QUOTAS, Cluster, Resource
from peerkd.launch.kubernetes.kinds.kind import JobKind

LIMIT_RANGES: Final = Resource("", "v1", "limitranges")


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
            left = _amount(hard) - _amount(used.get(name, "0"))
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
def check_nodes(cluster: Cluster, settings: ClusterConfig) -> CheckResult:
    """Check that enough nodes are large enough for the workers of one job.

    The requests of other pods do not count, because they change all the time.
    """
    wanted = {"cpu": _amount(settings.cpu_per_worker), "memory": _amount(settings.memory_per_worker)}
    if settings.gpus_per_worker:
        wanted[settings.gpu_resource] = settings.gpus_per_worker
    nodes = [node for node in cluster.list(NODES)["items"] if _admits(node, settings)]
    room = sum(
        min(int(_amount(node["status"]["allocatable"].get(name, "0")) // value) for name, value in wanted.items())
        for node in nodes
    )
    worker = ", ".join(f"{name} {_plain(value)}" for name, value in wanted.items())
    if room >= settings.num_workers:
        return CheckResult("nodes", True, f"{len(nodes)} nodes have room for {room} workers ({worker}), if empty.")
    return CheckResult(
        "nodes",
        False,
        f"{len(nodes)} nodes on which workers may run have room for {room} workers ({worker}), even if empty, and a "
        f"job has {settings.num_workers}.",
        "Request less, add nodes, or correct node_selector and tolerations. A pool that is scaled up from zero has no "
        "nodes until a job waits for them.",
    )


def _requests(settings: ClusterConfig, kinds: Sequence[JobKind]) -> Mapping[str, float]:
    """Return the amount that one job requests of every resource that a quota may limit."""
    num = settings.num_workers
    cpu, memory = num * _amount(settings.cpu_per_worker), num * _amount(settings.memory_per_worker)
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


def _amount(quantity: object) -> float:
    """Return the number that a Kubernetes quantity stands for, such as 2147483648 for ``2Gi`` and 0.5 for ``500m``."""
    text = str(quantity)
    try:
        return float(text)
    except ValueError:
        return amount(text)


def _plain(value: float) -> str:
    for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"
