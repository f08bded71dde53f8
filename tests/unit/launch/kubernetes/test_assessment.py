from collections.abc import Sequence
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.assessment import JobPhase as Phase
from peerkd.launch.kubernetes.assessment import assess
from peerkd.launch.kubernetes.history import PodHistory
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from peerkd.launch.kubernetes.kinds.kind import Job
from tests.unit.launch.kubernetes.objects import condition, ended, event, job, pod, running, unschedulable, waiting

CREATED, RUNNING = condition("Created"), condition("Running")
QUOTA = event("FailedCreatePod", "exceeded quota: gpus.")
SETTINGS: dict[str, Any] = {"num_workers": 2, "start_seconds": 60.0, "patience_seconds": 600.0}


def assessment_after(
    seconds: float,
    seen: Job | None,
    pods: Sequence[dict[str, Any]] = (),
    *,
    events: Sequence[dict[str, Any]] = (),
    history: PodHistory | None = None,
    **settings: Any,
) -> Any:
    """Assess a job whose state has not changed for some seconds."""
    history = history or PodHistory(PYTORCHJOB)
    for each in pods:
        history.change_pod("ADDED", each)
    for now_seconds in (0, seconds):
        history.advance(seen or job(), now_seconds=now_seconds, events=events)
    return assess(seen, history=history, cluster=ClusterConfig.model_validate({**SETTINGS, **settings}), events=events)


@pytest.mark.parametrize(
    ("seen", "pods", "phase", "text"),
    [
        (None, [], Phase.DELETED, "its job was deleted"),
        (job(RUNNING, deletionTimestamp="2026-01-01T00:00:00Z"), [], Phase.DELETED, "its job job was deleted"),
        (job(RUNNING, condition("Succeeded")), [], Phase.SUCCEEDED, "done"),
        (
            job(condition("Succeeded"), deletionTimestamp="2026-01-01T00:00:00Z"),
            [],
            Phase.SUCCEEDED,
            "done",
        ),
        (job(condition("Succeeded", status="False"), RUNNING), [], Phase.STARTING, "0 of 2 workers are running"),
        (job(RUNNING), [pod(0, running()), pod(1, running())], Phase.RUNNING, "running"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(0, phase="Succeeded"))], Phase.RUNNING, "running"),
        (job(RUNNING), [pod(0, running())], Phase.STARTING, "1 of 2 workers are running"),
        (job(CREATED, suspend=True), [], Phase.QUEUED, "suspended"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(1))], Phase.RUNNING, "running"),
        (job(condition("Failed")), [pod(1, ended(1))], Phase.FAILED, "worker 1 ended with exit code 1"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(137))], Phase.RUNNING, "running"),
        (
            job(condition("Failed", message="past the backoff limit.")),
            [],
            Phase.FAILED_ONCE,
            "its job failed: past the backoff limit",
        ),
        (job(condition("Failed")), [], Phase.FAILED_ONCE, "its job failed: the training operator gives no reason"),
        (job(condition("Failed")), [pod(0, ended(143))], Phase.FAILED_ONCE, "worker 0 ended with exit code 143"),
    ],
)
def test_the_phase_of_a_job_follows_from_its_conditions_and_pods(
    seen: Job | None, pods: list[dict[str, Any]], phase: Phase, text: str
) -> None:
    assessment = assessment_after(0, seen, pods)
    assert (assessment.phase, assessment.text[: len(text)]) == (phase, text)


@pytest.mark.parametrize(
    ("endings", "phase", "worker", "is_user_error"),
    [
        # The first failure counts, because the others failed after they had lost their partner.
        ([(0, 1, "T10"), (1, 137, "T09")], Phase.FAILED_ONCE, 1, False),
        ([(0, 1, "T09"), (1, 137, "T10")], Phase.FAILED, 0, False),
        ([(0, 2, "T09"), (1, 1, "T10")], Phase.FAILED, 0, True),
        ([(0, 1, "T09"), (1, 2, "T10")], Phase.FAILED, 0, False),
        ([(1, 1, "T09"), (0, 1, "")], Phase.FAILED, 1, False),
    ],
)
def test_the_first_failure_decides(
    endings: list[tuple[int, int, str]], phase: Phase, worker: int, is_user_error: bool
) -> None:
    pods = [pod(index, ended(code, at=at)) for index, code, at in endings]
    assessment = assessment_after(0, job(condition("Failed")), pods)
    assert assessment.failure is not None
    assert (assessment.phase, assessment.failure.worker, assessment.is_user_error) == (phase, worker, is_user_error)


@pytest.mark.parametrize(("seconds", "phase"), [(59, Phase.RUNNING), (60, Phase.FAILED)])
def test_a_failure_that_the_operator_does_not_see_is_given_some_time(seconds: float, phase: Phase) -> None:
    assessment = assessment_after(seconds, job(RUNNING), [pod(0, running()), pod(1, ended(1))])
    assert assessment.phase is phase


def test_an_old_eviction_is_not_the_reason_of_a_new_failure() -> None:
    history = PodHistory(PYTORCHJOB)
    history.change_pod("ADDED", pod(0, ended(143, at="T01"), uid="old"))
    history.change_pod("DELETED", pod(0, ended(143, at="T01"), uid="old"))
    assessment = assessment_after(0, job(condition("Failed")), [pod(0, ended(1, at="T09"), uid="new")], history=history)
    assert (assessment.phase, assessment.text) == (Phase.FAILED, "worker 0 ended with exit code 1")


def test_a_message_about_a_single_worker_has_no_number() -> None:
    assessment = assessment_after(0, job(condition("Failed"), num_workers=1), [pod(0, ended(1))], num_workers=1)
    assert assessment.text == "its worker ended with exit code 1"


def test_a_queue_is_named() -> None:
    assert assessment_after(0, job(suspend=True), queue="research").text == "queued in research"


@pytest.mark.parametrize(("num_failures", "phase"), [(0, Phase.RUNNING), (3, Phase.RUNNING), (4, Phase.FAILED)])
def test_restarts_are_bounded(num_failures: int, phase: Phase) -> None:
    history = PodHistory(PYTORCHJOB)
    for number in range(num_failures):
        history.change_pod("ADDED", pod(1, ended(138, message="The store is away."), uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, ended(138), uid=f"old-{number}"))
    assessment = assessment_after(
        0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, max_restarts=3
    )
    assert assessment.phase is phase
    if phase is Phase.FAILED:
        assert "worker 1 failed 4 times (max_restarts is 3)" in assessment.text
        assert assessment.failure.message == "The store is away."


@pytest.mark.parametrize(("num_evictions", "phase"), [(4, Phase.RUNNING), (20, Phase.RUNNING), (21, Phase.FAILED)])
def test_evictions_are_no_failures_and_have_their_own_limit(num_evictions: int, phase: Phase) -> None:
    history = PodHistory(PYTORCHJOB, num_disruptions={1: 1})
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    for number in range(num_evictions - 1):
        history.change_pod("ADDED", pod(1, evicted, uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, evicted, uid=f"old-{number}"))
    settings = {"max_restarts": 0, "max_disruptions": 20}
    assessment = assessment_after(0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, **settings)
    assert assessment.phase is phase
    if phase is Phase.FAILED:
        assert assessment.text == (
            "the cluster removed the pod of worker 1 21 times (max_disruptions is 20), the last time with Evicted"
        )


def test_failures_between_evictions_still_count() -> None:
    history = PodHistory(PYTORCHJOB)
    for number, status in enumerate([ended(138), {"phase": "Failed", "reason": "Evicted"}] * 2):
        history.change_pod("ADDED", pod(1, status, uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, status, uid=f"old-{number}"))
    assessment = assessment_after(
        0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, max_restarts=1
    )
    assert assessment.phase is Phase.FAILED
    assert assessment.text == "worker 1 failed 2 times (max_restarts is 1), the last time with exit code 138"


@pytest.mark.parametrize("seen", [job(RUNNING), job(condition("Failed"))])
def test_running_out_of_memory_again_means_that_the_limit_is_too_low(seen: Job) -> None:
    history = PodHistory(PYTORCHJOB, num_out_of_memory={0: 1, 1: 1})
    assessment = assessment_after(0, seen, [pod(1, ended(137, reason="OOMKilled"))], history=history)
    assert assessment.phase is Phase.FAILED
    assert assessment.text.startswith("worker 1 ran out of memory 2 times (limit 2Gi, /dev/shm included)")


@pytest.mark.parametrize(
    ("seconds", "settings", "phase", "text"),
    [
        (99, {"deadline_seconds": 100.0}, Phase.RUNNING, "running"),
        (101, {"deadline_seconds": 100.0}, Phase.FAILED, "it ran for longer than deadline_seconds (100 s)"),
        (1e6, {"stall_seconds": None}, Phase.RUNNING, "running"),
        (1799, {}, Phase.RUNNING, "running"),
        (1801, {}, Phase.FAILED, "its workers are running and have reported no progress for 1800 s (stall_seconds)"),
    ],
)
def test_running_for_too_long(seconds: float, settings: dict[str, Any], phase: Phase, text: str) -> None:
    assessment = assessment_after(seconds, job(RUNNING), [pod(0, running()), pod(1, running())], **settings)
    assert (assessment.phase, assessment.text) == (phase, text)


def test_time_in_a_queue_is_not_late() -> None:
    assessment = assessment_after(1e6, job(suspend=True), deadline_seconds=1.0, stall_seconds=1.0)
    assert assessment.phase is Phase.QUEUED


@pytest.mark.parametrize(
    ("seconds", "status", "phase", "text"),
    [
        (
            59,
            waiting("ErrImagePull", "no such image"),
            Phase.STARTING,
            "worker 1 cannot start yet: ErrImagePull: no",
        ),
        (60, waiting("ErrImagePull", "no such image"), Phase.FAILED, "worker 1 cannot start: ErrImagePull: no such"),
        (0, waiting("InvalidImageName", "a b"), Phase.FAILED, "worker 1 cannot start: InvalidImageName: a b"),
        (1e6, waiting("ContainerCreating"), Phase.STARTING, "1 of 2 workers are running"),
        (1e6, unschedulable(), Phase.STARTING, "waiting for nodes: 0/1 nodes are available"),
    ],
)
def test_a_worker_that_cannot_start(seconds: float, status: dict[str, Any], phase: Phase, text: str) -> None:
    assessment = assessment_after(seconds, job(CREATED), [pod(0, running()), pod(1, status)], stall_seconds=None)
    assert (assessment.phase, assessment.text[: len(text)]) == (phase, text)


def test_waiting_for_nodes_can_be_bounded() -> None:
    pods = [pod(0, unschedulable()), pod(1, unschedulable())]
    assert assessment_after(29, job(CREATED), pods, schedule_seconds=30.0).phase is Phase.STARTING
    assessment = assessment_after(30, job(CREATED), pods, schedule_seconds=30.0)
    assert (assessment.phase, assessment.text) == (
        Phase.FAILED,
        "worker 0 found no node for 30 s (schedule_seconds): 0/1 nodes are available",
    )


@pytest.mark.parametrize(
    ("seconds", "num_pods", "phase", "text"),
    [
        (59, 1, Phase.STARTING, "the cluster refuses to create its pods: exceeded quota: gpus"),
        (60, 1, Phase.FAILED, "the cluster refuses to create its pods: exceeded quota: gpus"),
        (60, 2, Phase.RUNNING, "running"),
    ],
)
def test_pods_that_the_cluster_refuses(seconds: float, num_pods: int, phase: Phase, text: str) -> None:
    assessment = assessment_after(
        seconds, job(CREATED), [pod(index, running()) for index in range(num_pods)], events=[QUOTA]
    )
    assert (assessment.phase, assessment.text) == (phase, text)


@pytest.mark.parametrize(
    ("seconds", "phase", "text"),
    [
        (14, Phase.STARTING, "0 of 2 workers are running"),
        (15, Phase.STARTING, "waiting for the training operator"),
        (600, Phase.FAILED, "the training operator has not acknowledged the job for 600 s; is it running?"),
    ],
)
def test_a_missing_operator_is_reported(seconds: float, phase: Phase, text: str) -> None:
    assessment = assessment_after(seconds, job())
    assert (assessment.phase, assessment.text[: len(text)]) == (phase, text)


def test_a_job_whose_pods_are_all_refused_has_no_condition_either() -> None:
    assessment = assessment_after(20, job(), events=[QUOTA])
    assert assessment.text == "the cluster refuses to create its pods: exceeded quota: gpus"


def test_alternating_reasons_are_one_topic() -> None:
    topics = {
        assessment_after(1, job(CREATED), [pod(0, waiting(reason))]).topic
        for reason in ("ErrImagePull", "ImagePullBackOff")
    }
    assert topics == {"start 0"}


@pytest.mark.parametrize("phase", list(Phase))
def test_a_phase_is_final_unless_the_job_waits_or_runs(phase: Phase) -> None:
    assert phase.is_final == (phase not in (Phase.QUEUED, Phase.STARTING, Phase.RUNNING))
