from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.admission import check_image, check_job, check_service_account, check_worker
from peerkd.launch.doctor.policy import check_policy
from tests.unit.launch.doctor.conftest import Answering

JOBS = "/apis/kubeflow.org/v1/namespaces/peerkd/pytorchjobs"
PODS = "/api/v1/namespaces/peerkd/pods"
NODES = "/api/v1/nodes"
STORE = "s3://peerkd/runs"


@pytest.mark.parametrize(("check", "path", "kind"), [(check_job, JOBS, "PyTorchJob"), (check_worker, PODS, "Pod")])
def test_the_cluster_is_asked_for_exactly_what_a_launcher_makes(cluster: Answering, check, path, kind) -> None:
    cluster.answers[path] = {}
    assert check(cluster, ClusterConfig(), STORE).ok is True
    ((method, asked, body),) = cluster.asked
    assert (method, asked, body["kind"]) == ("POST", path, kind)


def test_nothing_is_created(cluster: Answering) -> None:
    for check in (check_job, check_worker, check_policy):
        check(cluster, ClusterConfig(), STORE)
    assert [(method, *query) for method, query in cluster.queries] == [("POST", ("dryRun", "All"))] * 3


@pytest.mark.parametrize(
    ("message", "ok"),
    [
        ('pods "peerkd-doctor" is forbidden: violates PodSecurity "restricted:latest" (status 403).', False),
        ('pods is forbidden: User "you" cannot create resource "pods" in API group "" (status 403).', None),
    ],
)
def test_a_refusal_by_a_policy_fails_and_a_missing_permission_does_not(
    cluster: Answering, message: str, ok: bool | None
) -> None:
    cluster.answers[PODS] = ClusterRefusedError(message, status=403)
    finding = check_worker(cluster, ClusterConfig(), STORE)
    assert finding.ok is ok
    assert ("PodSecurity" in finding.sentence) is (ok is False)


def test_the_workers_account_must_be_there(cluster: Answering) -> None:
    finding = check_service_account(cluster, ClusterConfig())
    assert finding is not None
    assert finding.ok is False
    cluster.answers["/api/v1/namespaces/peerkd/serviceaccounts/peerkd-worker"] = {"metadata": {}}
    finding = check_service_account(cluster, ClusterConfig())
    assert finding is not None
    assert finding.ok is True


@pytest.mark.parametrize(
    ("image", "names", "policy", "ok"),
    [
        ("registry.example/trainer:1", ["registry.example/trainer:1"], "IfNotPresent", True),
        ("registry.example/trainer:1", [], "IfNotPresent", None),
        ("registry.example/trainer:1", [], "Never", False),
        ("registry.example:5000/trainer", ["registry.example:5000/trainer"], "IfNotPresent", False),
        ("registry.example/trainer:latest", ["registry.example/trainer:latest"], "IfNotPresent", False),
        ("registry.example/trainer@sha256:0", ["registry.example/trainer@sha256:0"], "IfNotPresent", True),
        ("trainer:1@sha256:0", ["trainer:1@sha256:0"], "IfNotPresent", True),
    ],
)
def test_an_image_is_named_exactly_and_looked_for_on_the_nodes(
    cluster: Answering, image: str, names: list[str], policy: Any, ok: bool | None
) -> None:
    cluster.answers[NODES] = {"items": [{"status": {"images": [{"names": names}]}}, {"status": {}}]}
    finding = check_image(cluster, ClusterConfig(image=image, image_pull_policy=policy), STORE)
    assert finding is not None
    assert finding.ok is ok
    assert image in finding.sentence
