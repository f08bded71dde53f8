"""A TrainJob whose workers are replaced, all together by its JobSet or one by one by its Job."""

import dataclasses
import time

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from peerkd.launch.order import StageOrder
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.trainjob import Trainer
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually, jobs, num_followed_pods

START_SECONDS = 1.0


@pytest.fixture
def kind() -> JobKind:
    return TRAINJOB


@pytest.fixture
def order(order: StageOrder) -> StageOrder:
    """Two workers train one network together."""
    return dataclasses.replace(order, num_processes=2)


@pytest.mark.parametrize("exit_code", [1, 138])
def test_a_worker_that_fails_because_another_was_evicted_is_not_counted(
    launch: StartLaunch, operator: Trainer, kubernetes: FakeKubernetes, exit_code: int
) -> None:
    started = launch(num_workers=2, max_restarts=0, max_disruptions=1)
    operator.start(2)
    eventually(lambda: num_followed_pods(kubernetes) >= 2)
    operator.disrupt_pod(1, "EvictionByEvictionAPI")
    operator.end_pod(0, exit_code)
    operator.restart_set(2)
    eventually(lambda: num_followed_pods(kubernetes) >= 4)
    assert not started.is_over
    operator.succeed(2)
    (account,) = started.result()
    assert account.num_restarts == 1


def test_workers_that_are_stopped_because_another_failed_are_not_counted_as_disrupted(
    launch: StartLaunch, operator: Trainer, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, max_restarts=2, max_disruptions=0)
    operator.start(2)
    for number in (1, 2):
        eventually(lambda num=number: num_followed_pods(kubernetes) >= 2 * num)
        operator.end_pod(1, 138)
        operator.end_other(0)
        operator.restart_set(2)
    eventually(lambda: num_followed_pods(kubernetes) >= 6)
    operator.succeed(2)
    (account,) = started.result()
    assert account.num_restarts == 2


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_job_that_failed_because_of_an_eviction_is_created_again(
    launch: StartLaunch, operator: Trainer, kubernetes: FakeKubernetes, has_ended: bool
) -> None:
    """The other worker noticed this and ended first, so the JobSet saw only an exit code that it does not restart."""
    started = launch(num_workers=2, max_restarts=0, max_retries=0)
    operator.start(2)
    eventually(lambda: num_followed_pods(kubernetes) >= 2)
    uid = operator.job()["metadata"]["uid"]
    operator.announce_disruption(1, "EvictionByEvictionAPI", at="2026-01-01T00:00:09Z")
    operator.end_pod(0, 1, at="2026-01-01T00:00:09Z")
    if has_ended:
        operator.end_other(1)
    operator.fail("applying FailJobSet failure policy action")
    eventually(lambda: [each for each in jobs(kubernetes) if each["metadata"]["uid"] != uid])
    operator.start(2)
    operator.succeed(2)
    assert len(started.result()) == 2


def test_a_worker_that_ended_before_an_eviction_is_the_cause(launch: StartLaunch, operator: Trainer) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    operator.end_pod(0, 2, message="alphas must not be empty.", at="2026-01-01T00:00:08Z")
    operator.announce_disruption(1, "EvictionByEvictionAPI", at="2026-01-01T00:00:09Z")
    operator.fail("applying FailJobSet failure policy action")
    with pytest.raises(ValueError, match=r"worker 0 ended with exit code 2: alphas must not be empty"):
        started.result()


def test_a_worker_that_ends_because_another_was_removed_does_not_end_the_restarted_job(
    launch: StartLaunch, operator: Trainer, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, start_seconds=START_SECONDS)
    operator.start(2)
    for number in (1, 2):
        eventually(lambda num=number: num_followed_pods(kubernetes) >= 2 * num)
        operator.disrupt_pod(1, "EvictionByEvictionAPI")
        operator.end_pod(0, 1)
        operator.restart_set(2)
    time.sleep(1.5 * START_SECONDS)
    assert not started.is_over
    operator.succeed(2)
    assert len(started.result()) == 1
    assert kubernetes.asked("DELETE") == []


def test_a_replacement_that_cannot_be_created_ends_the_job_though_the_failed_pod_remains(
    launch: StartLaunch, operator: Trainer
) -> None:
    started = launch(num_workers=2, start_seconds=START_SECONDS)
    operator.start(2)
    operator.disrupt_pod(1, "EvictionByEvictionAPI")
    operator.refuse_pods("exceeded quota: gpus")
    with pytest.raises(JobFailedError, match="the cluster refuses to create its pods: exceeded quota: gpus"):
        started.result()
