from typing import Any

import pytest

from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.pods import (
    failure_of,
    has_finished,
    has_log,
    is_running,
    startup_problem_of,
)
from tests.unit.launch.kubernetes.objects import ended, event, pod, running, unschedulable, waiting

EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}
# These messages are those of the kubelet.
OWN_LIMITS = (
    'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi". ',
    "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ",
    'Container pytorch exceeded its local ephemeral storage limit "1Gi". ',
)
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
DISRUPTED = {
    **ended(143),
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}],
}


@pytest.mark.parametrize(
    ("status", "exit_code", "text", "is_retryable"),
    [
        (ended(1), 1, "exit code 1", False),
        (ended(2), 2, "exit code 2", False),
        (ended(127), 127, "exit code 127", False),
        (ended(128), 128, "exit code 128", True),
        (ended(137, reason="OOMKilled"), 137, "OOMKilled (exit code 137)", True),
        (ended(138), 138, "exit code 138", True),
        (EVICTED, None, "Evicted", True),
        ({**ended(1), "reason": "Evicted"}, 1, "Evicted (exit code 1)", True),
        (DISRUPTED, 143, "PreemptionByScheduler (exit code 143)", True),
        ({"phase": "Failed"}, None, "no reason given", True),
    ],
)
def test_a_failure_has_its_code_its_reason_and_whether_it_is_retryable(
    status: dict[str, Any], exit_code: int | None, text: str, is_retryable: bool
) -> None:
    failure = failure_of(pod(1, status), PYTORCHJOB)
    assert failure is not None
    assert (failure.worker, failure.exit_code, failure.describe(), failure.is_retryable) == (
        1,
        exit_code,
        text,
        is_retryable,
    )


def disrupted(reason: str, exit_code: int = 143, **more: Any) -> dict[str, Any]:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "m"}
    return {**ended(exit_code), "conditions": [condition], **more}


@pytest.mark.parametrize(
    ("status", "metadata", "is_disruption"),
    [
        *(
            (disrupted(reason, exit_code), {}, True)
            for exit_code in (1, 137, 143)
            for reason in (
                "PreemptionByScheduler",
                "DeletionByTaintManager",
                "EvictionByEvictionAPI",
                "DeletionByPodGC",
                "TerminationByKubelet",
            )
        ),
        *(
            ({"phase": "Failed", "reason": reason, "message": "m"}, {}, True)
            for reason in (
                "Evicted",
                "Preempting",
                "NodeLost",
                "NodeShutdown",
                "Terminated",
                "OutOfcpu",
                "NodeAffinity",
            )
        ),
        ({**EVICTED, "message": "The node was low on resource: memory."}, {}, True),
        # The pod was deleted by a person or by a drain of its node.
        (running(), DELETED, True),
        (ended(143), DELETED, True),
        (ended(137), DELETED, True),
        # A failure that the worker itself causes counts.
        *(({**EVICTED, "message": message}, {}, False) for message in OWN_LIMITS),
        (disrupted("TerminationByKubelet", message=OWN_LIMITS[0]), {}, False),
        ({**disrupted("EvictionByEvictionAPI"), **ended(137, reason="OOMKilled")}, {}, False),
        (ended(137, reason="OOMKilled"), DELETED, False),
        (ended(138), DELETED, False),
        (ended(1), DELETED, False),
        (ended(143), {}, False),
        (ended(138), {}, False),
        ({"phase": "Failed"}, {}, False),
        ({**ended(138), "conditions": [{"type": "DisruptionTarget", "status": "False", "reason": "x"}]}, {}, False),
    ],
)
def test_a_pod_that_the_cluster_removed_has_not_failed(
    status: dict[str, Any], metadata: dict[str, str], is_disruption: bool
) -> None:
    failure = failure_of(pod(0, status, **metadata), PYTORCHJOB, is_gone=bool(metadata))
    assert failure is not None
    assert failure.is_disruption is is_disruption
    assert failure.is_retryable or not is_disruption


def test_a_container_that_was_killed_for_memory_is_out_of_memory_whatever_the_pod_says() -> None:
    failure = failure_of(pod(0, {**ended(137, reason="OOMKilled"), "reason": "Evicted"}), PYTORCHJOB)
    assert failure is not None
    assert failure.is_out_of_memory


@pytest.mark.parametrize("status", [running(), waiting("ContainerCreating"), ended(0, phase="Succeeded"), {}])
def test_a_pod_that_runs_or_has_succeeded_has_not_failed(status: dict[str, Any]) -> None:
    assert failure_of(pod(0, status), PYTORCHJOB) is None


def test_a_running_pod_that_disappeared_was_deleted() -> None:
    failure = failure_of(pod(0, running()), PYTORCHJOB, is_gone=True)
    assert failure is not None
    assert (failure.was_deleted, failure.exit_code, failure.describe()) == (True, None, "deleted")
    assert failure_of(pod(0, ended(0, phase="Succeeded")), PYTORCHJOB, is_gone=True) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"message": "seed must be 1.", "exit_code": 2}', "seed must be 1."),
        ("seed must be 1.\n", "seed must be 1."),
        ('"text"', '"text"'),
        ("12", "12"),
        ("", ""),
    ],
)
def test_the_last_message_of_a_worker_is_the_message_of_its_failure(message: str, expected: str) -> None:
    failure = failure_of(pod(0, ended(2, message=message)), PYTORCHJOB)
    assert failure is not None
    assert failure.message == expected


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (waiting("ErrImagePull", "manifest unknown."), "start", "ErrImagePull: manifest unknown"),
        (waiting("ImagePullBackOff"), "start", "ImagePullBackOff"),
        (
            waiting("CreateContainerConfigError", 'secret "s" not found'),
            "start",
            'CreateContainerConfigError: secret "s" not found',
        ),
        (unschedulable(), "schedule", "0/1 nodes are available"),
    ],
)
def test_problems_of_a_pod_are_recognised(status: dict[str, Any], kind: str, text: str) -> None:
    problem = startup_problem_of(pod(0, status), PYTORCHJOB)
    assert problem is not None
    assert (problem.kind, problem.text, problem.is_permanent) == (kind, text, False)


def test_an_invalid_image_name_is_a_permanent_problem() -> None:
    problem = startup_problem_of(pod(0, waiting("InvalidImageName", "a b")), PYTORCHJOB)
    assert problem is not None
    assert problem.is_permanent


@pytest.mark.parametrize(
    "status",
    [
        running(),
        ended(1),
        waiting("ContainerCreating"),
        waiting("PodInitializing"),
        {"phase": "Pending"},
        unschedulable(reason="SchedulingGated"),
    ],
)
def test_a_step_that_only_takes_time_is_no_problem(status: dict[str, Any]) -> None:
    assert startup_problem_of(pod(0, status), PYTORCHJOB) is None


def test_a_missing_volume_is_a_problem_and_a_slow_one_is_not() -> None:
    creating = pod(0, waiting("ContainerCreating"))
    missing = event("FailedMount", 'MountVolume.SetUp failed: secret "s" not found', uid="pod-0")
    slow = event("FailedMount", "timed out waiting for the condition", uid="pod-0")
    of_another = event("FailedMount", 'secret "s" not found', uid="pod-1")
    assert startup_problem_of(creating, PYTORCHJOB, [slow, of_another]) is None
    problem = startup_problem_of(creating, PYTORCHJOB, [slow, missing])
    assert problem is not None
    assert problem.text.startswith("FailedMount: ")


def test_a_pod_is_running_over_or_neither() -> None:
    assert is_running(pod(0, running()))
    assert not is_running(pod(0, running(), deletionTimestamp="2026-01-01T00:00:00Z"))
    assert has_finished(pod(0, ended(1)))
    assert not has_finished(pod(0, running()))
    assert has_log(pod(0, running()), PYTORCHJOB)
    assert has_log(pod(0, ended(1)), PYTORCHJOB)
    assert not has_log(pod(0, waiting("ContainerCreating")), PYTORCHJOB)
