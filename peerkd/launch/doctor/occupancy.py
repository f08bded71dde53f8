"""What the pods of a cluster request, and what they leave free on its nodes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from peerkd.config.cluster import amount
from peerkd.errors import ClusterRefusedError
from peerkd.launch.kubernetes.client import PODS, Cluster

Object = Mapping[str, Any]
"""An object of the Kubernetes API, as its JSON."""

Amounts = Counter[str]
"""Amounts by the names of resources, such as ``cpu`` and ``nvidia.com/gpu``."""

_ENDED_PHASES: Final = ("Succeeded", "Failed")
_STATUS_FORBIDDEN: Final = 403


def list_pods(cluster: Cluster) -> Sequence[Object] | None:
    """Return the pods of all namespaces that have not ended. Return None if the user may not list them.

    Raises:
        ClusterRefusedError: If the API refuses for another reason.
        ClusterUnavailableError: If the API cannot be reached.
    """
    try:
        pods = cluster.list(PODS, fields={"status.phase!": _ENDED_PHASES[0]}, all_namespaces=True)["items"]
    except ClusterRefusedError as error:
        if error.status != _STATUS_FORBIDDEN:
            raise
        return None
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED_PHASES]


def requests_by_node(pods: Iterable[Object]) -> Mapping[str, Amounts]:
    """Return what the pods of each node request, by the name of the node.

    The name is empty for pods that wait for a node. A node without pods has the amount 0 of everything.
    """
    requests: defaultdict[str, Amounts] = defaultdict(Counter)
    for pod in pods:
        requests[pod["spec"].get("nodeName") or ""].update(requests_of(pod))
    return requests


def requests_of(pod: Object) -> Amounts:
    """Return what a pod requests, as the scheduler computes it.

    The containers run together with the sidecars, which are the init containers that are always restarted. The other
    init containers run one after another before them, each together with the sidecars that precede it. The larger of
    both counts (Kubernetes, "Sidecar Containers: Resource sharing within containers").
    """
    spec = pod["spec"]
    sidecars, largest = Amounts(), Amounts()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + _requested(container)
            largest |= sidecars
        else:
            largest |= sidecars + _requested(container)
    together = sum((_requested(container) for container in spec["containers"]), sidecars)
    return (together | largest) + _amounts(spec.get("overhead"))


def quantity(value: object) -> float:
    """Return the number that a Kubernetes quantity stands for, such as 2147483648 for ``2Gi`` and 0.5 for ``500m``."""
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return amount(text)


def _requested(container: Object) -> Amounts:
    return _amounts((container.get("resources") or {}).get("requests"))


def _amounts(quantities: Mapping[str, object] | None) -> Amounts:
    return Counter({name: quantity(each) for name, each in (quantities or {}).items()})
