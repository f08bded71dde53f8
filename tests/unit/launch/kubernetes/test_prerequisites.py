"""The TrainingRuntime of a TrainJob: it exists before its job, as long as its job, and belongs to the job alone."""

import pytest

from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
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
