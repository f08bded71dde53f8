from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.doctor.queue import check_cluster_queue, check_queue
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
