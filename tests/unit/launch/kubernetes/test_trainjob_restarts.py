"""A TrainJob whose workers are replaced, all together by its JobSet or one by one by its Job."""

import time

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.fake_kubernetes.server import FakeKubernetes
from tests.fake_kubernetes.trainjob import Trainer
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually

START_SECONDS = 1.0


@pytest.fixture
def kind() -> JobKind:
    return TRAINJOB


def test_a_worker_that_ends_because_another_was_removed_does_not_end_the_restarted_job(
    launch: StartLaunch, operator: Trainer, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, start_seconds=START_SECONDS)
    operator.start(2)
    for number in (1, 2):
        eventually(lambda num=number: len(kubernetes.asked("GET", "/log")) >= 2 * num)
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
