from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.queue import check_cluster_queue, check_queue, check_topology
from tests.unit.launch.doctor.conftest import Answering

QUEUES = "/apis/kueue.x-k8s.io/v1beta2/namespaces/peerkd/localqueues"
CLUSTER_QUEUE = "/apis/kueue.x-k8s.io/v1beta2/clusterqueues/gpus"


def queue(status: str | None, message: str = "") -> dict[str, Any]:
    conditions = [{"type": "Active", "status": status, "message": message}] if status else []
    return {"spec": {"clusterQueue": "gpus"}, "status": {"conditions": conditions}}


def test_without_a_queue_there_is_nothing_to_check(cluster: Answering) -> None:
    assert check_queue(cluster, ClusterConfig()) is None
    assert check_cluster_queue(cluster, ClusterConfig()) is None
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("found", "ok", "words"),
    [
        (queue("True"), True, "The queue research of gpus is active."),
        (queue("False", "ClusterQueue gpus is stopped"), False, "admits no jobs: ClusterQueue gpus is stopped"),
        (queue(None), False, "Kueue has not processed it yet."),
    ],
)
def test_a_queue_must_be_active(cluster: Answering, found: dict[str, Any], ok: bool, words: str) -> None:
    cluster.answers[f"{QUEUES}/research"] = found
    result = check_queue(cluster, ClusterConfig(queue="research"))
    assert result is not None
    assert (result.ok, words in result.sentence) == (ok, True)


def test_a_missing_queue_is_reported_with_the_existing_ones(cluster: Answering) -> None:
    cluster.answers[QUEUES] = {"items": [{"metadata": {"name": "teaching"}}]}
    result = check_queue(cluster, ClusterConfig(queue="research"))
    assert result is not None
    assert result[1:3] == (False, "The queue research does not exist in peerkd; it has teaching.")


@pytest.mark.parametrize(
    ("quota", "cohort", "ok"),
    [
        ({"nominalQuota": "8"}, None, True),
        ({"nominalQuota": 7}, None, False),
        ({"nominalQuota": 4, "borrowingLimit": 4}, "all", True),
        ({"nominalQuota": 4, "borrowingLimit": 3}, "all", False),
        # Without a limit, a queue may borrow everything that the others do not use.
        ({"nominalQuota": 0}, "all", True),
    ],
)
def test_a_job_larger_than_the_queue_is_reported_before_it_waits_for_ever(
    cluster: Answering, quota: dict[str, Any], cohort: str | None, ok: bool
) -> None:
    cluster.answers[f"{QUEUES}/research"] = queue("True")
    flavour = {"name": "on-demand", "resources": [{"name": "nvidia.com/gpu", **quota}]}
    cluster.answers[CLUSTER_QUEUE] = {"spec": {"cohortName": cohort, "resourceGroups": [{"flavors": [flavour]}]}}
    settings = ClusterConfig(queue="research", num_workers=2, gpus_per_worker=4)
    result = check_cluster_queue(cluster, settings)
    assert result is not None
    assert result.ok is ok


def test_the_objects_behind_a_queue_must_exist_but_may_be_unreadable(cluster: Answering) -> None:
    cluster.answers[f"{QUEUES}/research"] = queue("True")
    settings = ClusterConfig(queue="research")
    result = check_cluster_queue(cluster, settings)
    assert result is not None
    assert result.ok is False
    cluster.forbid(CLUSTER_QUEUE)
    result = check_cluster_queue(cluster, settings)
    assert result is not None
    assert result.ok is None


@pytest.mark.parametrize(
    ("named", "levels", "ok", "words"),
    [
        ("racks", ["peerkd.io/block", "peerkd.io/rack"], True, "has a pool with the level peerkd.io/rack."),
        ("racks", ["peerkd.io/block"], False, "a job would never start; the levels of its pools are peerkd.io/block."),
        (None, ["peerkd.io/rack"], False, "the levels of its pools are none."),
    ],
)
def test_a_pool_of_the_queue_must_have_the_level_of_the_topology(
    cluster: Answering, named: str | None, levels: list[str], ok: bool, words: str
) -> None:
    kueue = "/apis/kueue.x-k8s.io/v1beta2"
    cluster.answers[f"{QUEUES}/research"] = queue("True")
    cluster.answers[CLUSTER_QUEUE] = {"spec": {"resourceGroups": [{"flavors": [{"name": "cpu"}, {"name": "gpu"}]}]}}
    cluster.answers[f"{kueue}/resourceflavors/cpu"] = {"metadata": {"name": "cpu"}}
    cluster.answers[f"{kueue}/resourceflavors/gpu"] = {"spec": {"topologyName": named} if named else {}}
    cluster.answers[f"{kueue}/topologies/racks"] = {"spec": {"levels": [{"nodeLabel": each} for each in levels]}}
    settings = ClusterConfig.from_mapping({"queue": "research", "topology": {"level": "peerkd.io/rack"}})
    result = check_topology(cluster, settings)
    assert result is not None
    assert (result.ok, words in result.sentence) == (ok, True)


def test_without_a_topology_no_flavour_is_read(cluster: Answering) -> None:
    assert check_topology(cluster, ClusterConfig(queue="research")) is None
    assert cluster.asked == []
