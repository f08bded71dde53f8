"""The launcher, the reaper and doctor with a kind of job that has nothing in common with PyTorchJobs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import peerkd.launch
from peerkd.cli.dry_run import jobs as jobs_of_dry_run
from peerkd.config.cluster import ClusterConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.errors import ClusterRefusedError, JobFailedError
from peerkd.launch.doctor.access import launcher_permissions
from peerkd.launch.doctor.admission import check_job, check_worker
from peerkd.launch.doctor.api import check_controller, check_kind
from peerkd.launch.doctor.capacity import check_quota
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Cluster
from peerkd.launch.kubernetes.kinds import JOB_KINDS
from peerkd.launch.kubernetes.reaper import Reaper
from peerkd.launch.kubernetes.run import KubernetesJobs
from peerkd.launch.kubernetes.workflows import Workflows
from peerkd.launch.order import StageOrder
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.samplejob import SAMPLEJOB
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.doctor.conftest import Answering
from tests.unit.launch.kubernetes.conftest import Launch, eventually

LAUNCH = Path(peerkd.launch.__file__).parent


@pytest.fixture
def kubernetes() -> Iterator[FakeKubernetes]:
    fake = FakeKubernetes([SAMPLEJOB])
    yield fake
    fake.stop()


@pytest.fixture
def operator(kubernetes: FakeKubernetes) -> Operator:
    return Operator(kubernetes, SAMPLEJOB)


@pytest.fixture
def start(kubernetes: FakeKubernetes, connection: Cluster, order: StageOrder) -> Any:
    def launch(**settings: Any) -> Launch:
        cluster = ClusterConfig.model_validate({"start_seconds": 0.1, "patience_seconds": 10.0, **settings})
        num_before = len(kubernetes.asked("POST", "samplejobs"))
        backend = KubernetesJobs(cluster, kind=SAMPLEJOB, run_id="run-1", connection=connection, environment={})
        started = Launch(backend, order)
        eventually(lambda: len(kubernetes.asked("POST", "samplejobs")) > num_before)
        eventually(lambda: [each for each in kubernetes.asked("GET", "/pods") if each.is_watch])
        return started

    return launch


def test_a_job_is_created_after_the_object_with_its_template_and_owns_it(
    start: Any, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = start()
    created = [request.path.rpartition("/")[2] for request in kubernetes.asked("POST")]
    assert created == ["configmaps", "samplejobs"]
    job, (template,) = operator.job(), kubernetes.store.list("configmaps", NAMESPACE)
    assert job["spec"]["templateRef"] == template["metadata"]["name"]
    (owner,) = template["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("SampleJob", job["metadata"]["uid"])
    (container,) = template["data"]["template"]["spec"]["containers"]
    assert container["name"] == "node"
    operator.make_pod()
    operator.run_pod()
    operator.set_condition("Complete")
    assert len(started.result()) == 1


def test_a_code_that_this_kind_does_not_retry_fails_the_job(start: Any, operator: Operator) -> None:
    started = start()
    operator.make_pod()
    operator.end_pod(0, 143)
    operator.set_condition("Broken")
    with pytest.raises(JobFailedError, match="its worker ended with exit code 143"):
        started.result()


def test_a_job_that_is_deleted_in_the_background_is_created_again_once_its_pods_are_gone(
    start: Any, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = start(max_retries=1)
    uid = operator.job()["metadata"]["uid"]
    num_pods: list[int] = []
    kubernetes.on_create = lambda _: num_pods.append(len(kubernetes.store.list("pods", NAMESPACE)))
    kubernetes.seconds_until_gone = 0.3
    operator.make_pod()
    operator.end_pod(0, 200)
    operator.set_condition("Broken")
    eventually(lambda: any(each["metadata"]["uid"] != uid for each in kubernetes.store.list("samplejobs", NAMESPACE)))
    (delete,) = kubernetes.asked("DELETE")
    assert delete.body["propagationPolicy"] == "Background"
    assert set(num_pods) == {0}
    operator.set_condition("Complete")
    assert len(started.result()) == 2


def test_a_refused_template_is_reported_by_the_events_of_this_kind(start: Any, operator: Operator) -> None:
    started = start()
    operator.warn(operator.job(), "FailedCreate", "exceeded quota: gpus.")
    with pytest.raises(JobFailedError, match="refuses to create its pods: exceeded quota: gpus"):
        started.result()


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, []), (403, ["cannot list the PyTorchJobs: The cluster refused to GET /apis/kubeflow.org/v1"])],
)
def test_the_reaper_deletes_the_jobs_of_all_kinds_that_it_may_list(
    connection: Cluster, kubernetes: FakeKubernetes, status: int, told: list[str]
) -> None:
    annotations = {names.ANNOTATION_LEASE_RENEWED: "1", names.ANNOTATION_LEASE_SECONDS: "10"}
    metadata = {"name": "left", "labels": names.OUR_LABELS, "annotations": annotations}
    kubernetes.store.put("samplejobs", NAMESPACE, {"metadata": metadata})
    kubernetes.fail(status, times=100, path="/pytorchjobs", message="the server could not find the requested resource")
    logged: list[str] = []
    now = [0.0]
    workflows = Workflows(connection, log=logged.append)
    reaper = Reaper(connection, [*JOB_KINDS, SAMPLEJOB], workflows, clock=lambda: now[0], log=logged.append)
    for _ in range(5):
        reaper.run_once()
        now[0] += 3
    *first, last = logged
    assert [line[: len(beginning)] for line, beginning in zip(first, told, strict=True)] == told
    assert last == "deleted left, because its lease has not been renewed for 12 s."
    assert kubernetes.store.list("samplejobs", NAMESPACE) == []


def test_doctor_checks_the_kinds_that_it_is_given() -> None:
    cluster = Answering()
    asked = {(each.resource.plural, verb) for each in launcher_permissions([SAMPLEJOB]) for verb in each.verbs}
    assert ("samplejobs", "create") in asked
    assert ("pytorchjobs", "create") not in asked
    cluster.answers["/apis/sample.example/v1alpha1"] = {"resources": [{"name": "samplejobs"}]}
    assert check_kind(cluster, SAMPLEJOB).sentence == "The cluster has SampleJobs."
    cluster.answers["/apis/apps/v1/deployments"] = {"items": []}
    assert check_controller(cluster, SAMPLEJOB)[2:] == (
        "The sample controller is not installed: no job would start.",
        "Install version 2.3.",
    )
    cluster.answers["/api/v1/namespaces/peerkd/configmaps"] = {}
    cluster.answers["/apis/sample.example/v1alpha1/namespaces/peerkd/samplejobs"] = {}
    cluster.answers["/api/v1/namespaces/peerkd/pods"] = ClusterRefusedError(
        "no such container (status 422).", status=422
    )
    assert check_job(cluster, ClusterConfig(), "s3://b/p", SAMPLEJOB).ok is True
    assert check_worker(cluster, ClusterConfig(), "s3://b/p", SAMPLEJOB).ok is False
    quota = {"status": {"hard": {"count/samplejobs.sample.example": "0"}}}
    cluster.answers["/api/v1/namespaces/peerkd/resourcequotas"] = {"items": [quota]}
    assert check_quota(cluster, ClusterConfig(), [SAMPLEJOB]).ok is False
    assert check_quota(cluster, ClusterConfig(), JOB_KINDS).ok is True


def test_a_dry_run_prints_the_template_before_the_job() -> None:
    config = ExperimentConfig.from_mapping({})
    printed = [
        manifest["kind"]
        for _, manifest in jobs_of_dry_run("jointkd", config, ClusterConfig(), kind=SAMPLEJOB, store="s3://b/p")
    ]
    assert printed[:2] == ["ConfigMap", "SampleJob"]


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("pytorchjob.py", ('"kubeflow.org', "pytorchReplicaSpecs", "runPolicy", '"Restarting"', '"pytorch"')),
        ("trainjob.py", ("trainer.kubeflow.org", "jobset-name", "runtimeRef", "numNodes", '"Complete"')),
    ],
)
def test_the_constants_of_a_kind_are_in_its_file_alone(file: str, fields: tuple[str, ...]) -> None:
    """A new kind is one file only as long as no other file has a constant of a kind."""
    found = {
        str(path.relative_to(LAUNCH))
        for path in LAUNCH.rglob("*.py")
        if any(field in path.read_text(encoding="utf-8") for field in fields)
    }
    assert found == {f"kubernetes/kinds/{file}"}
