"""The TrainingRuntime of a TrainJob: it exists before its job, as long as its job, and belongs to the job alone."""

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.order import StageOrder
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.store import Object
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually, jobs

RUNTIMES = "trainingruntimes"


@pytest.fixture
def kind() -> JobKind:
    return TRAINJOB


def runtimes(kubernetes: FakeKubernetes) -> list[Object]:
    return kubernetes.store.list(RUNTIMES, NAMESPACE)


def owner_of(runtime: Object) -> tuple[str, str]:
    (owner,) = runtime["metadata"]["ownerReferences"]
    return owner["kind"], owner["uid"]


def test_a_runtime_is_created_before_its_job_and_deleted_with_it(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    first = launch()
    created = [request.path.rpartition("/")[2] for request in kubernetes.asked("POST")]
    assert created == [RUNTIMES, "trainjobs"]
    (runtime,), (job,) = runtimes(kubernetes), jobs(kubernetes)
    assert runtime["metadata"]["name"] == job["spec"]["runtimeRef"]["name"]
    eventually(lambda: owner_of(runtimes(kubernetes)[0]) == ("TrainJob", job["metadata"]["uid"]))
    # Another manifest is another runtime, and the runtime of the job that is deleted goes with it.
    second = launch(memory_per_worker="4Gi")
    eventually(lambda: [each for each in jobs(kubernetes) if each["metadata"]["uid"] != job["metadata"]["uid"]])
    with pytest.raises(Exception, match="was deleted"):
        first.result()
    (other,) = runtimes(kubernetes)
    assert other["metadata"]["name"] != runtime["metadata"]["name"]
    assert other["metadata"]["name"] == operator.job()["spec"]["runtimeRef"]["name"]
    operator.start()
    operator.succeed()
    second.result()


def test_the_runtime_of_an_earlier_job_that_is_about_to_be_deleted_is_created_again(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    """The job has just been deleted by hand, and the garbage collector deletes its runtime a moment later."""
    first = launch()
    eventually(lambda: "ownerReferences" in runtimes(kubernetes)[0]["metadata"])
    name = operator.job()["metadata"]["name"]
    kubernetes.store.remove("trainjobs", NAMESPACE, name)
    with pytest.raises(Exception, match="was deleted"):
        first.result()

    def collect(made: Object) -> None:
        if made["metadata"]["name"] == name:
            kubernetes.store.remove(RUNTIMES, NAMESPACE, runtimes(kubernetes)[0]["metadata"]["name"])

    kubernetes.on_create = collect
    second = launch()
    eventually(lambda: runtimes(kubernetes) and "ownerReferences" in runtimes(kubernetes)[0]["metadata"])
    assert owner_of(runtimes(kubernetes)[0]) == ("TrainJob", operator.job()["metadata"]["uid"])
    operator.complete()
    second.result()


def test_a_trainer_that_does_not_know_the_runtime_yet_is_asked_again(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    kubernetes.fail(
        403, times=3, method="POST", path="/trainjobs", message=f"not found: {TRAINJOB.missing_prerequisite}"
    )
    started = launch()
    assert len(kubernetes.asked("POST", "/trainjobs")) == 4
    operator.complete()
    assert len(started.result()) == 1


@pytest.mark.parametrize("status", [403, 409, 422])
def test_the_runtime_of_a_refused_job_is_deleted(
    launch: StartLaunch, kubernetes: FakeKubernetes, kind: JobKind, order: StageOrder, status: int
) -> None:
    if status == 409:
        # Somebody else's job has the name.
        name = names.job_name(order, run_id="run-1", max_length=kind.max_name_length)
        kubernetes.store.put("trainjobs", NAMESPACE, {"metadata": {"name": name}, "spec": {}})
    else:
        kubernetes.fail(status, times=float("inf"), method="POST", path="/trainjobs", message="exceeded quota: jobs")
    with pytest.raises((ClusterRefusedError, ValueError)):
        launch(made=False).result()
    assert runtimes(kubernetes) == []
    assert len(kubernetes.asked("DELETE")) == 1


def test_a_job_is_deleted_before_its_runtime(launch: StartLaunch, kubernetes: FakeKubernetes) -> None:
    kubernetes.fail(422, method="PATCH", path="/trainingruntimes")
    with pytest.raises(ClusterRefusedError):
        launch(made=False).result()
    assert [request.path.split("/")[-2] for request in kubernetes.asked("DELETE")] == ["trainjobs", RUNTIMES]
    assert (jobs(kubernetes), runtimes(kubernetes)) == ([], [])


def test_a_runtime_that_another_launcher_uses_is_kept(launch: StartLaunch, kubernetes: FakeKubernetes) -> None:
    def adopt(made: Object) -> None:
        """Make another launcher's job the owner of the runtime."""
        kubernetes.on_create = None
        made["metadata"]["ownerReferences"] = [{"kind": "TrainJob", "uid": "of-another"}]
        kubernetes.store.put(RUNTIMES, NAMESPACE, made)

    kubernetes.on_create = adopt
    kubernetes.fail(422, method="POST", path="/trainjobs")
    with pytest.raises(ClusterRefusedError):
        launch(made=False).result()
    assert len(runtimes(kubernetes)) == 1


def test_a_runtime_is_kept_if_it_is_unknown_whether_its_job_exists(
    launch: StartLaunch, kubernetes: FakeKubernetes
) -> None:
    kubernetes.fail(503, times=float("inf"), method="POST", path="/trainjobs")
    with pytest.raises(ClusterUnavailableError):
        launch(made=False, patience_seconds=0.3).result()
    assert len(runtimes(kubernetes)) == 1


def test_a_field_that_the_cluster_does_not_know_is_refused(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    assert [request.query for request in kubernetes.asked("POST")] == [{"fieldValidation": "Strict"}] * 2
    operator.complete()
    started.result()


def test_a_launcher_that_adopts_a_job_completes_the_work_of_a_killed_one(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    first = launch()
    (runtime,) = runtimes(kubernetes)
    runtime["metadata"].pop("ownerReferences", None)
    kubernetes.store.put(RUNTIMES, NAMESPACE, runtime)
    second = launch()
    eventually(lambda: "ownerReferences" in runtimes(kubernetes)[0]["metadata"])
    assert owner_of(runtimes(kubernetes)[0])[1] == operator.job()["metadata"]["uid"]
    operator.complete()
    first.result()
    second.result()


def test_a_job_is_created_again_once_the_job_set_of_the_earlier_one_is_gone(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    """The Trainer would copy the status of the earlier JobSet to the new job."""
    started = launch(max_retries=1)
    operator.acknowledge()
    uid = operator.job()["metadata"]["uid"]
    num_job_sets: list[int] = []
    kubernetes.on_create = lambda _: num_job_sets.append(len(kubernetes.store.list("jobsets", NAMESPACE)))
    kubernetes.seconds_until_gone = 0.3
    operator.fail("jobset failed due to one or more job failures")
    eventually(lambda: [each for each in jobs(kubernetes) if each["metadata"]["uid"] != uid])
    assert set(num_job_sets) == {0}
    assert operator.job()["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "2"
    operator.complete()
    assert len(started.result()) == 2
