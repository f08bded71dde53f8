"""The launcher's reactions to each end of a job; the test acts as the operator."""

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.fake_kubernetes.operator import NAMESPACE, Operator
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually, jobs, of_all_kinds


def test_what_a_user_can_fix_is_a_value_error_with_the_workers_sentence(
    launch: StartLaunch, operator: Operator
) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    operator.end_pod(1, 2, message='{"message": "sweep.alphas must not be empty.", "exit_code": 2}')
    operator.fail()
    with pytest.raises(ValueError, match=r"worker 1 ended with exit code 2: sweep.alphas must not be empty\.$"):
        started.result()


@of_all_kinds
def test_a_failure_names_the_first_worker_and_its_last_lines(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    kubernetes.log(operator.pod_name(1), "Traceback (most recent call last):")
    kubernetes.log(operator.pod_name(1), "ZeroDivisionError")
    operator.end_pod(0, 1, at="2026-01-01T00:00:09Z")
    operator.end_pod(1, 1, at="2026-01-01T00:00:03Z")
    operator.fail()
    with pytest.raises(JobFailedError) as raised:
        started.result()
    message = str(raised.value)
    assert message.startswith("distill_pairs failed in job peerkd-distill-pairs-")
    assert "worker 1 ended with exit code 1." in message
    assert message.endswith("Traceback (most recent call last):\nZeroDivisionError")


def test_a_failed_job_is_kept_for_inspection(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    operator.start()
    operator.fail()
    operator.end_pod(0, 1)
    with pytest.raises(JobFailedError):
        started.result()
    assert kubernetes.asked("DELETE") == []


@of_all_kinds
def test_a_job_deleted_by_hand_is_not_created_again(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, kind: JobKind
) -> None:
    started = launch()
    operator.start()
    kubernetes.store.remove(kind.resource.plural, NAMESPACE, operator.job()["metadata"]["name"])
    with pytest.raises(JobFailedError, match="was deleted before it had ended"):
        started.result()
    assert len(kubernetes.asked_for_jobs("POST")) == 1


def test_a_job_replaced_by_another_with_its_name_counts_as_deleted(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch()
    job = operator.job()
    kubernetes.stop()
    kubernetes.store.remove("pytorchjobs", NAMESPACE, job["metadata"]["name"])
    kubernetes.store.put("pytorchjobs", NAMESPACE, {**job, "metadata": {**job["metadata"], "uid": "another"}})
    kubernetes.store.forget_the_past()
    kubernetes.start()
    with pytest.raises(JobFailedError, match="was deleted"):
        started.result()


@of_all_kinds
def test_out_of_memory_twice_says_what_to_raise(launch: StartLaunch, operator: Operator) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    operator.end_pod(1, 137, reason="OOMKilled")
    operator.remake_pod(1)
    operator.end_pod(1, 137, reason="OOMKilled")
    with pytest.raises(JobFailedError, match=r"worker 1 ran out of memory 2 times \(limit 2Gi.*memory_per_worker"):
        started.result()


def test_an_evicted_worker_is_waited_for(launch: StartLaunch, operator: Operator) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    operator.evict_pod(0)
    operator.remake_pod(0)
    operator.succeed(2)
    assert len(started.result()) == 1


@of_all_kinds
@pytest.mark.parametrize("how", ["by the kubelet", "by the API", "with its node"])
def test_a_worker_evicted_five_times_ends_well(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, how: str
) -> None:
    started = launch(num_workers=3, max_restarts=0)
    operator.start(2)
    for _ in range(5):
        if how == "by the kubelet":
            operator.evict_pod(0)
        elif how == "by the API":
            operator.disrupt_pod(0, "EvictionByEvictionAPI")
        operator.remake_pod(0)
    # The job and its pods are watched separately, so the end of the job could be seen before the last eviction. The
    # changes of pods are seen in their order, so the log of the last pod is opened after all evictions were seen.
    operator.make_pod(2)
    operator.run_pod(2)
    eventually(lambda: kubernetes.asked("GET", f"/{operator.pod_name(2)}/log"))
    operator.succeed(3)
    (account,) = started.result()
    assert account.num_restarts == 5


@of_all_kinds
def test_a_job_that_failed_by_evictions_is_created_again_without_a_retry(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(max_retries=0)
    for number in (1, 2, 3):
        eventually(lambda num=number: len(kubernetes.asked_for_jobs("POST")) == num and jobs(kubernetes))
        operator.start()
        if number < 3:
            # A worker that ends with a code below 128 after SIGTERM fails its job.
            operator.disrupt_pod(0, "PreemptionByScheduler", exit_code=1)
            operator.fail()
    operator.succeed()
    assert len(started.result()) == 3


def test_disruptions_are_bounded_over_all_attempts(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(max_disruptions=2)
    for number in (1, 2, 3):
        eventually(lambda num=number: len(kubernetes.asked_for_jobs("POST")) == num and jobs(kubernetes))
        operator.start()
        operator.disrupt_pod(0, "PreemptionByScheduler", exit_code=1)
        operator.fail()
    with pytest.raises(JobFailedError, match=r"removed the pod of worker 0 3 times \(max_disruptions is 2\), the last"):
        started.result()


@of_all_kinds
def test_restarts_of_a_worker_are_bounded(launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes) -> None:
    started = launch(max_restarts=2)
    operator.start()
    for _ in range(2):
        operator.end_pod(0, 138, message="The store cannot be reached.")
        operator.remake_pod(0)
    operator.end_pod(0, 138, message="The store cannot be reached.")
    with pytest.raises(JobFailedError, match=r"worker 0 failed 3 times .*exit code 138: The store cannot be"):
        started.result()
    assert jobs(kubernetes) == []


@of_all_kinds
def test_a_job_that_failed_for_a_transient_reason_is_created_again(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, max_retries=1)
    operator.start(2)
    operator.end_pod(1, 143, at="2026-01-01T00:00:01Z")
    operator.end_pod(0, 1, at="2026-01-01T00:00:02Z")
    uid = operator.job()["metadata"]["uid"]
    operator.fail()
    eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
    operator.start(2)
    operator.succeed(2)
    assert len(started.result()) == 2


def test_new_attempts_are_bounded(launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes) -> None:
    started = launch(max_retries=1)
    for num_jobs in (1, 2):
        eventually(lambda num=num_jobs: len(kubernetes.asked_for_jobs("POST")) == num and jobs(kubernetes))
        operator.start()
        operator.end_pod(0, 143)
        operator.fail()
    with pytest.raises(JobFailedError, match="exit code 143"):
        started.result()
