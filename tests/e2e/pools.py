"""Pools of simulated GPU nodes, the shipped queues scaled to them, and the jobs of teams."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.manifest import manifest_for
from peerkd.launch.order import StageOrder
from tests.e2e import kind
from tests.e2e import kubectl as kube

ROOT: Final = Path(__file__).parents[2]
COMMAND_VARIABLE: Final = "PEERKD_E2E_GPU_POOL"
"""The variable that names a command, which gives a pool simulated nodes: NAME NODES GPUS_PER_NODE LABEL=VALUE."""

TEAMS: Final = ("peerkd", "vision", "language")
"""The teams. The first uses the queue of the component, the others use copies of the example."""

FACTOR: Final = 5
"""The factor for the shipped shares. Those of three teams are then 160 GPUs on demand and 640 spot GPUs: 100 nodes."""

NODES: Final = {"on-demand": 20, "spot": 80}
GPUS_PER_NODE: Final = 8
GPU: Final = "nvidia.com/gpu"
MARK: Final = {"peerkd.io/e2e": "pools"}
_PREFIX: Final = "peerkd-pools-"
_BATCH: Final = 60


@dataclass(frozen=True)
class Share:
    """The share of a queue in one flavour, in GPUs. None: no limit."""

    nominal: int
    borrowing: int | None
    lending: int | None


def namespace_of(team: str) -> str:
    """Return the namespace of a team's jobs."""
    return _PREFIX + team


def missing() -> str:
    """Return what the cluster lacks for pools of simulated nodes, or what is in their way; an empty text if nothing."""
    if not os.environ.get(COMMAND_VARIABLE):
        return f"no simulated nodes: {COMMAND_VARIABLE} is not set"
    if kube.get("deployment", "kueue-controller-manager", namespace="kueue-system") is None:
        return "Kueue is not installed"
    queue = kube.get("clusterqueues.kueue.x-k8s.io", "peerkd", namespace="default")
    if queue and not MARK.items() <= queue["metadata"].get("labels", {}).items():
        return "the cluster has a queue named peerkd already"
    return ""


def size(pool: str, num_nodes: int) -> None:
    """Create nodes until a pool has a given number."""
    _run_command(pool, num_nodes, f"peerkd.io/pool={pool}")
    if pool == "spot" and num_nodes:
        _taint(num_nodes)


def add_rack(rack: str, num_nodes: int) -> None:
    """Create the nodes of one rack of the pool on demand."""
    _run_command(rack, num_nodes, "peerkd.io/pool=on-demand", "peerkd.io/block=block", f"peerkd.io/rack={rack}")


def _run_command(pool: str, num_nodes: int, *labels: str) -> None:
    command = [os.environ[COMMAND_VARIABLE], _PREFIX + pool, str(num_nodes), str(GPUS_PER_NODE), *labels]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def lose(pool: str) -> None:
    """Delete the nodes of a pool without warning, as a cloud may do."""
    kube.kubectl("delete", "node", "-l", f"pool={_PREFIX}{pool}", "--ignore-not-found", "--wait=false")


def pool_of_node(name: str) -> str:
    """Return the pool of a node, which may have been deleted."""
    return name.removeprefix(_PREFIX).rpartition("-")[0]


def remove(*racks: str) -> None:
    """Delete all objects of a test. Queues are last, because they remain as long as jobs hold a share of them."""
    marked = ",".join(f"{label}={value}" for label, value in MARK.items())
    kube.kubectl("delete", "namespace", "-l", marked, "--ignore-not-found", "--wait", timeout_seconds=240)
    for resource in ("clusterqueues", "resourceflavors", "topologies", "workloadpriorityclasses"):
        kube.kubectl("delete", f"{resource}.kueue.x-k8s.io", "-l", marked, "--ignore-not-found", "--wait")
    for pool in (*NODES, *racks):
        lose(pool)


def are_taken(objects: Sequence[Mapping[str, Any]]) -> bool:
    """Create or change objects, and return whether the cluster accepted all of them."""
    try:
        kube.apply(*objects)
    except kube.KubectlError:
        return False
    return True


def queues(folder: Path, *, components: Sequence[str] = ("kueue", "spot")) -> list[dict[str, Any]]:
    """Return the shipped flavours, queues and priorities, patched as in an operator's own overlay."""
    shares = (ROOT / "manifests/examples/team/share.yaml").read_text(encoding="utf-8")
    for team in TEAMS[1:]:
        (folder / f"{team}.yaml").write_text(shares.replace("vision", team), encoding="utf-8")
    overlay: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "labels": [{"pairs": dict(MARK)}],
        "resources": [f"{team}.yaml" for team in TEAMS[1:]],
        "components": [
            os.path.relpath(ROOT / "manifests/components" / component, folder.resolve()) for component in components
        ],
    }
    plain = _built(folder, overlay)
    overlay["patches"] = [
        {
            "target": {"kind": each["kind"], "name": each["metadata"]["name"]},
            "patch": json.dumps(list(_patches(each))),
        }
        for each in plain
        if each["kind"] in ("ClusterQueue", "LocalQueue")
    ]
    return _built(folder, overlay)


def shares_of(objects: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Share]:
    """Return the share of GPUs by queue and flavour."""
    return {
        (queue["metadata"]["name"], flavor["name"]): Share(
            nominal=int(resource["nominalQuota"]),
            borrowing=_number(resource.get("borrowingLimit")),
            lending=_number(resource.get("lendingLimit")),
        )
        for queue in objects
        if queue["kind"] == "ClusterQueue"
        for group in queue["spec"]["resourceGroups"]
        for flavor in group["flavors"]
        for resource in flavor["resources"]
        if resource["name"] == GPU
    }


def namespaces() -> list[dict[str, Any]]:
    """Return the namespaces of the teams as in the base, with the account of workers and the admission lists."""
    base = ROOT / "manifests/base"
    (namespace,) = yaml.safe_load_all((base / "namespace.yaml").read_text(encoding="utf-8"))
    accounts = yaml.safe_load_all((base / "accounts.yaml").read_text(encoding="utf-8"))
    (account,) = (each for each in accounts if each["metadata"]["name"] == "peerkd-worker")
    lists = yaml.safe_load((base / "admission-lists.yaml").read_text(encoding="utf-8"))
    made: list[dict[str, Any]] = []
    for where in (*map(namespace_of, TEAMS), namespace_of("reaper")):
        labels = {**namespace["metadata"].get("labels", {}), **MARK}
        made.append({**namespace, "metadata": {"name": where, "labels": labels}})
        made += [{**each, "metadata": {**each["metadata"], "namespace": where}} for each in (account, lists)]
    return made


def cluster_of(team: str, *, priority: str = "peerkd-normal", num_workers: int = 1, **settings: Any) -> ClusterConfig:
    """Return the settings of a team whose workers use a whole node each, with more settings if they are given."""
    return ClusterConfig(
        namespace=namespace_of(team),
        job_kind=kind.NAME,
        queue=team,
        priority=priority,
        num_workers=num_workers,
        gpus_per_worker=GPUS_PER_NODE,
        cpu_per_worker="64",
        memory_per_worker="512Gi",
        shared_memory="64Gi",
        **settings,
    )


def order_of(team: str, index: int) -> StageOrder:
    """Return an order that differs from all others."""
    return StageOrder(
        stage="distill_pairs", config_json="{}", store="s3://pools/runs", inputs={}, key=f"{team}-{index:03d}"
    )


def job(
    team: str, index: int, *, seconds: float, priority: str = "peerkd-normal", workers: int = 1, **settings: Any
) -> list[dict[str, Any]]:
    """Return the objects that a launcher creates for an order, with a duration for the simulated pods.

    The job is the last one. ``settings`` are further fields of its ``ClusterConfig``.
    """
    cluster = cluster_of(team, priority=priority, num_workers=workers, **settings)
    made = manifest_for(order_of(team, index), cluster, kind=kind.KIND, environment={})
    (template,) = kind.pod_templates(kind.holder_of_pods(made)).values()
    template["metadata"]["annotations"]["simulated-duration"] = f"{seconds:g}s"
    objects = kind.objects_of(made)
    for each in objects:
        each["metadata"]["namespace"] = cluster.namespace
    return objects


def held_jobs(num_jobs: int, *, lease: str) -> list[list[dict[str, Any]]]:
    """Return the objects of jobs of one namespace that wait forever, each job with the lease of a launcher."""
    made = []
    for index in range(num_jobs):
        objects = job(TEAMS[0], index, seconds=1)
        for each in objects:
            each["metadata"]["namespace"] = namespace_of("reaper")
        metadata = objects[-1]["metadata"]
        del metadata["labels"]["kueue.x-k8s.io/queue-name"]
        del metadata["labels"]["kueue.x-k8s.io/priority-class"]
        metadata["annotations"]["peerkd.io/lease-renewed"] = lease
        made.append(objects)
    return made


def send(jobs: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Create jobs in batches, each after the objects that must exist before."""
    for start in range(0, len(jobs), _BATCH):
        batch = jobs[start : start + _BATCH]
        before = [each for objects in batch for each in objects[:-1]]
        if before:
            kube.apply(*before)
            # The controller of the jobs reads these objects from a cache.
            time.sleep(1)
        kube.apply(*(objects[-1] for objects in batch))


def _taint(num_nodes: int) -> None:
    """Add the taint of spot nodes to all of them."""
    taints = [{"key": "nvidia.com/gpu", "value": "present"}, {"key": "peerkd.io/pool", "value": "spot"}]
    spec = {"taints": [{**taint, "effect": "NoSchedule"} for taint in taints]}
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"{_PREFIX}spot-{index}"}, "spec": spec}
        for index in range(num_nodes)
    ]
    # A different field manager is used, because fields that the first one omits would be removed.
    arguments = ("--server-side", "--force-conflicts", "--field-manager=peerkd-pools", "-f", "-")
    kube.kubectl("apply", *arguments, text=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))


def _built(folder: Path, overlay: Mapping[str, Any]) -> list[dict[str, Any]]:
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    return list(yaml.safe_load_all(kube.kubectl("kustomize", str(folder))))


def _patches(each: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if each["kind"] == "LocalQueue":
        yield {"op": "replace", "path": "/metadata/namespace", "value": namespace_of(each["metadata"]["name"])}
        return
    label = "/spec/namespaceSelector/matchLabels/kubernetes.io~1metadata.name"
    yield {"op": "replace", "path": label, "value": namespace_of(each["metadata"]["name"])}
    for i, group in enumerate(each["spec"]["resourceGroups"]):
        for j, flavor in enumerate(group["flavors"]):
            for k, resource in enumerate(flavor["resources"]):
                for field, quantity in resource.items():
                    if field != "name":
                        path = f"/spec/resourceGroups/{i}/flavors/{j}/resources/{k}/{field}"
                        yield {"op": "replace", "path": path, "value": _times(quantity)}


def _times(quantity: str) -> str:
    match = re.fullmatch(r"(\d+)(\D*)", quantity)
    assert match is not None, quantity
    return f"{int(match[1]) * FACTOR}{match[2]}"


def _number(quantity: str | None) -> int | None:
    return None if quantity is None else int(quantity)
