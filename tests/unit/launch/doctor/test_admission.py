from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.errors import ClusterRefusedError
from peerkd.launch.doctor.admission import check_image, check_job, check_policy, check_service_account, check_worker
from peerkd.launch.kubernetes.kinds import PYTORCHJOB, TRAINJOB
from tests.unit.launch.doctor.conftest import Answering

JOBS = "/apis/kubeflow.org/v1/namespaces/peerkd/pytorchjobs"
PODS = "/api/v1/namespaces/peerkd/pods"
NODES = "/api/v1/nodes"
STORE = "s3://peerkd/runs"
DENIED = "ValidatingAdmissionPolicy 'peerkd-workloads' denied request: A volume of a worker must be (status 403)."
RUNTIMES = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/peerkd/trainingruntimes"
TRAINJOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/peerkd/trainjobs"
NO_RUNTIME = (
    'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request: spec.runtimeRef: Invalid value: '
    "{}: not found: specified trainingRuntime must be created before the TrainJob is created (status 403)."
)
NO_RIGHT = 'User "you" cannot create resource "pytorchjobs" in API group "kubeflow.org" (status 403).'


@pytest.mark.parametrize(("check", "path", "kind"), [(check_job, JOBS, "PyTorchJob"), (check_worker, PODS, "Pod")])
def test_doctor_requests_exactly_the_job_that_a_launcher_creates(cluster: Answering, check, path, kind) -> None:
    cluster.answers[path] = {}
    assert check(cluster, ClusterConfig(), STORE, PYTORCHJOB).ok is True
    ((method, asked, body),) = cluster.asked
    assert (method, asked, body["kind"]) == ("POST", path, kind)


def test_nothing_is_created(cluster: Answering) -> None:
    for check in (check_job, check_worker, check_policy):
        check(cluster, ClusterConfig(), STORE, PYTORCHJOB)
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
    result = check_worker(cluster, ClusterConfig(), STORE, PYTORCHJOB)
    assert result.ok is ok
    assert ("PodSecurity" in result.sentence) is (ok is False)


def test_the_account_of_the_workers_must_exist(cluster: Answering) -> None:
    result = check_service_account(cluster, ClusterConfig())
    assert result is not None
    assert result.ok is False
    cluster.answers["/api/v1/namespaces/peerkd/serviceaccounts/peerkd-worker"] = {"metadata": {}}
    result = check_service_account(cluster, ClusterConfig())
    assert result is not None
    assert result.ok is True


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
def test_an_image_is_checked_by_its_name_and_the_images_of_the_nodes(
    cluster: Answering, image: str, names: list[str], policy: Any, ok: bool | None
) -> None:
    cluster.answers[NODES] = {"items": [{"status": {"images": [{"names": names}]}}, {"status": {}}]}
    result = check_image(cluster, ClusterConfig(image=image, image_pull_policy=policy))
    assert result is not None
    assert result.ok is ok
    assert image in result.sentence


def test_a_cluster_that_accepts_a_job_with_the_root_of_its_node_has_no_policy(cluster: Answering) -> None:
    cluster.answers[JOBS] = {}
    result = check_policy(cluster, ClusterConfig(), STORE, PYTORCHJOB)
    assert result.ok is False
    assert "manifests/base" in result.fix
    ((method, path, body),) = cluster.asked
    assert (method, path) == ("POST", JOBS)
    volumes = body["spec"]["pytorchReplicaSpecs"]["Worker"]["template"]["spec"]["volumes"]
    assert {"name": "node", "hostPath": {"path": "/"}} in volumes


@pytest.mark.parametrize(("message", "ok"), [(DENIED, True), (NO_RIGHT, None)])
def test_a_refusal_by_a_policy_passes_and_a_missing_permission_is_unknown(
    cluster: Answering, message: str, ok: bool | None
) -> None:
    cluster.answers[JOBS] = ClusterRefusedError(message, status=403)
    assert check_policy(cluster, ClusterConfig(), STORE, PYTORCHJOB).ok is ok


def test_a_job_with_a_runtime_is_accepted_although_a_dry_run_creates_no_runtime(cluster: Answering) -> None:
    cluster.answers |= {RUNTIMES: {}, TRAINJOBS: ClusterRefusedError(NO_RUNTIME, status=403)}
    result = check_job(cluster, ClusterConfig(), STORE, TRAINJOB)
    assert (result.ok, result.sentence) == (True, "The cluster accepts a job in peerkd.")
    assert [(path, body["kind"]) for _, path, body in cluster.asked] == [
        (RUNTIMES, "TrainingRuntime"),
        (TRAINJOBS, "TrainJob"),
    ]
    cluster.answers[TRAINJOBS] = ClusterRefusedError("spec.trainer: Invalid value (status 422).", status=422)
    assert check_job(cluster, ClusterConfig(), STORE, TRAINJOB).ok is False
    cluster.answers[RUNTIMES] = ClusterRefusedError(NO_RIGHT.replace("pytorchjobs", "trainingruntimes"), status=403)
    result = check_job(cluster, ClusterConfig(), STORE, TRAINJOB)
    assert (result.ok, result.sentence) == (None, "You may not create TrainingRuntimes, so this was not checked.")


def test_the_policy_must_refuse_the_runtime_and_a_missing_runtime_is_no_refusal(cluster: Answering) -> None:
    cluster.answers |= {RUNTIMES: {}, TRAINJOBS: ClusterRefusedError(NO_RUNTIME, status=403)}
    assert check_policy(cluster, ClusterConfig(), STORE, TRAINJOB).ok is False
    cluster.answers[RUNTIMES] = ClusterRefusedError(DENIED, status=403)
    assert check_policy(cluster, ClusterConfig(), STORE, TRAINJOB).ok is True
