from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.capacity import check_gpus, check_nodes, check_quota
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from tests.unit.launch.doctor.conftest import Answering

QUOTAS = "/api/v1/namespaces/peerkd/resourcequotas"
RANGES = "/api/v1/namespaces/peerkd/limitranges"
NODES = "/api/v1/nodes"

TWO_WITH_GPUS = ClusterConfig(num_workers=2, gpus_per_worker=4, cpu_per_worker="8", memory_per_worker="16Gi")


def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
    return {"items": [{"status": {"hard": hard, "used": used}}]}


@pytest.mark.parametrize(
    ("hard", "used", "short"),
    [
        ({"pods": "10"}, {"pods": "8"}, ""),
        ({"pods": "10"}, {"pods": "9"}, "pods has 1 left of 10, and a job takes 2"),
        ({"requests.cpu": "16"}, {}, ""),
        ({"requests.cpu": "16"}, {"requests.cpu": "500m"}, "requests.cpu has 15.5 left of 16, and a job"),
        (
            {"limits.memory": "20Gi"},
            {"limits.memory": "0"},
            "limits.memory has 20Gi left of 20Gi, and a job takes 32Gi",
        ),
        ({"requests.nvidia.com/gpu": "8"}, {"requests.nvidia.com/gpu": "1"}, "requests.nvidia.com/gpu has 7 left of 8"),
        ({"count/pytorchjobs.kubeflow.org": "1"}, {"count/pytorchjobs.kubeflow.org": "1"}, "takes 1"),
        ({"secrets": "1"}, {"secrets": "1"}, ""),
    ],
)
def test_a_job_must_fit_into_what_the_quotas_have_left(
    cluster: Answering, hard: dict[str, str], used: dict[str, str], short: str
) -> None:
    cluster.answers[QUOTAS] = quota(hard, used)
    cluster.answers[RANGES] = {"items": [{"spec": {"limits": [{"type": "Container"}]}}]}
    result = check_quota(cluster, TWO_WITH_GPUS, JOB_KINDS)
    assert result is not None
    assert result.ok is not bool(short)
    assert short in result.sentence


def test_a_quota_of_memory_needs_a_limit_range_for_pods_without_requests(cluster: Answering) -> None:
    cluster.answers[QUOTAS] = quota({"limits.memory": "1Ti"}, {})
    cluster.answers[RANGES] = {"items": []}
    result = check_quota(cluster, ClusterConfig(), JOB_KINDS)
    assert result is not None
    assert result.ok is False
    assert "no LimitRange" in result.sentence


def test_a_namespace_without_quotas_has_room(cluster: Answering) -> None:
    cluster.answers[QUOTAS] = {"items": []}
    result = check_quota(cluster, ClusterConfig(), JOB_KINDS)
    assert result is not None
    assert result.ok is True


def no_pods() -> list[dict[str, Any]]:
    return []


def node(
    *, name: str = "node-0", gpus: int = 8, taint: str | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    taints = [{"key": taint, "value": "present", "effect": "NoSchedule"}] if taint else []
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints, **spec},
        "status": {"allocatable": {"cpu": "64", "memory": "263921040Ki", "nvidia.com/gpu": str(gpus)}},
    }


@pytest.mark.parametrize(
    ("nodes", "ok"),
    [
        ([node()], True),
        ([node(gpus=4)], False),
        ([node(gpus=4), node(gpus=4)], True),
        ([node(gpus=0), node(gpus=0)], False),
        ([node(taint="nvidia.com/gpu")], True),
        ([node(taint="maintenance")], False),
        ([node(unschedulable=True)], False),
        ([node(labels={"pool": "cpu"})], False),
        ([], False),
    ],
    ids=range(9),
)
def test_nodes_must_have_room_for_all_workers(cluster: Answering, nodes: list[dict[str, Any]], ok: bool) -> None:
    for each in nodes:
        each["metadata"]["labels"] = each["metadata"]["labels"] or {"pool": "gpu"}
    cluster.answers[NODES] = {"items": nodes}
    settings = ClusterConfig.from_mapping(
        {
            **TWO_WITH_GPUS.model_dump(mode="json"),
            "node_selector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        }
    )
    result = check_nodes(cluster, settings, no_pods)
    assert result is not None
    assert result.ok is ok
    assert bool(result.fix) is not ok


def test_a_toleration_of_another_value_does_not_help(cluster: Answering) -> None:
    cluster.answers[NODES] = {"items": [node(taint="pool")]}
    for value, ok in (("present", True), ("absent", False)):
        tolerations = ({"key": "pool", "operator": "Equal", "value": value},)
        result = check_nodes(cluster, ClusterConfig(tolerations=tolerations), no_pods)
        assert result is not None
        assert result.ok is ok


def test_nodes_that_cannot_be_seen_are_unknown(cluster: Answering) -> None:
    cluster.forbid(NODES)
    result = check_nodes(cluster, ClusterConfig(), no_pods)
    assert result is not None
    assert result.ok is None


def pod(*, on: str, gpus: int, cpu: str = "8") -> dict[str, Any]:
    requests = {"cpu": cpu, "memory": "16Gi", "nvidia.com/gpu": str(gpus)}
    return {"spec": {"nodeName": on, "containers": [{"resources": {"requests": requests}}]}}


H100 = {"nvidia.com/gpu.product": "NVIDIA-H100"}


def test_the_workers_that_fit_now_are_counted(cluster: Answering) -> None:
    cluster.answers[NODES] = {"items": [node(name="a"), node(name="b")]}
    for pods, told in (
        (
            [pod(on="a", gpus=4)],
            "2 nodes have room for 4 workers (cpu 8, memory 16Gi, nvidia.com/gpu 4), if empty, and for 3 now.",
        ),
        ([pod(on="a", gpus=6), pod(on="b", gpus=0, cpu="57")], "and for 0 now, so a job of 2 waits."),
        # A node on which pods have been forced may have less than nothing left.
        ([pod(on="a", gpus=9), pod(on="b", gpus=0)], "and for 2 now."),
        (None, "if empty; what is free now is unknown, because you may not list the pods of all namespaces."),
    ):
        result = check_nodes(cluster, TWO_WITH_GPUS, lambda pods=pods: pods)
        assert result is not None
        assert result.ok is True
        assert result.sentence.endswith(told)


def test_the_gpus_of_each_pool_are_counted(cluster: Answering) -> None:
    nodes = [
        node(name="a", labels=H100),
        node(name="b", labels=H100),
        node(name="c", labels={"nvidia.com/gpu.product": "NVIDIA-L4"}, gpus=1, unschedulable=True),
        node(name="d", labels={"pool": "old"}, gpus=2),
        node(name="e", gpus=0),
        node(name="f"),
    ]
    cluster.answers[NODES] = {"items": nodes}
    pods = [pod(on="a", gpus=8), pod(on="b", gpus=3), pod(on="", gpus=4), pod(on="d", gpus=3)]
    result = check_gpus(cluster, ClusterConfig(node_selector={"pool": "old"}), lambda: pods)
    assert result is not None
    assert (result.ok, result.sentence) == (
        True,
        "nvidia.com/gpu: NVIDIA-H100 (closed to workers), 2 nodes: 16, 11 requested by pods, 5 free; "
        "NVIDIA-L4 (closed to workers), 1 node: 1, 0 requested by pods, 1 free; "
        "nodes without a label of their GPUs (closed to workers), 1 node: 8, 0 requested by pods, 8 free; "
        "pool=old, 1 node: 2, 3 requested by pods, 0 free. Pods that wait for a node request 4 more.",
    )


def test_gpus_whose_pods_cannot_be_listed_are_counted_without_what_is_free(cluster: Answering) -> None:
    cluster.answers[NODES] = {"items": [node(labels=H100)]}
    result = check_gpus(cluster, ClusterConfig(), lambda: None)
    assert result is not None
    assert (result.ok, result.sentence) == (
        None,
        "nvidia.com/gpu: NVIDIA-H100, 1 node: 8. What is free now is unknown, because you may not list the pods of all "
        "namespaces.",
    )
    assert "docs/operators.md" in result.fix
    cluster.answers[NODES] = {"items": [node(gpus=0)]}
    assert check_gpus(cluster, ClusterConfig(), no_pods) is None
