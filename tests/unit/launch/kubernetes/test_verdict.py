from collections.abc import Sequence
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.history import History
from peerkd.launch.kubernetes.verdict import State, judge
from tests.unit.launch.kubernetes.objects import condition, ended, event, job, pod, running, unschedulable, waiting

CREATED, RUNNING = condition("Created"), condition("Running")
QUOTA = event("FailedCreatePod", "exceeded quota: gpus.")
SETTINGS: dict[str, Any] = {"num_workers": 2, "start_seconds": 60.0, "patience_seconds": 600.0}


def verdict_after(
    seconds: float,
    seen: dict[str, Any] | None,
    pods: Sequence[dict[str, Any]] = (),
    *,
    events: Sequence[dict[str, Any]] = (),
    history: History | None = None,
    **settings: Any,
) -> Any:
    """Judge what has been as it is for some seconds."""
    history = history or History()
    for each in pods:
        history.change_pod("ADDED", each)
    for now_seconds in (0, seconds):
        history.note(seen or job(), now_seconds=now_seconds, events=events)
    return judge(seen, history=history, cluster=ClusterConfig.model_validate({**SETTINGS, **settings}), events=events)


@pytest.mark.parametrize(
    ("seen", "pods", "state", "text"),
    [
        (None, [], State.GONE, "its job was deleted"),
        (job(RUNNING, deletionTimestamp="2026-01-01T00:00:00Z"), [], State.GONE, "its job job was deleted"),
        (job(RUNNING, condition("Succeeded")), [], State.SUCCEEDED, "done"),
        (
            job(condition("Succeeded"), deletionTimestamp="2026-01-01T00:00:00Z"),
            [],
            State.SUCCEEDED,
            "done",
        ),
        (job(condition("Succeeded", status="False"), RUNNING), [], State.STARTING, "0 of 2 workers running"),
        (job(RUNNING), [pod(0, running()), pod(1, running())], State.RUNNING, "running"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(0, phase="Succeeded"))], State.RUNNING, "running"),
        (job(RUNNING), [pod(0, running())], State.STARTING, "1 of 2 workers running"),
        (job(CREATED, suspend=True), [], State.QUEUED, "suspended"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(1))], State.RUNNING, "running"),
        (job(condition("Failed")), [pod(1, ended(1))], State.FAILED, "worker 1 ended with exit code 1"),
        (job(RUNNING), [pod(0, running()), pod(1, ended(137))], State.RUNNING, "running"),
        (
            job(condition("Failed", message="past the backoff limit.")),
            [],
            State.FAILED_ONCE,
            "its job failed: past the backoff limit",
        ),
        (job(condition("Failed")), [], State.FAILED_ONCE, "its job failed: the operator gives no reason"),
        (job(condition("Failed")), [pod(0, ended(143))], State.FAILED_ONCE, "worker 0 ended with exit code 143"),
    ],
)
def test_how_a_job_stands(seen: dict[str, Any] | None, pods: list[dict[str, Any]], state: State, text: str) -> None:
    verdict = verdict_after(0, seen, pods)
    assert (verdict.state, verdict.text[: len(text)]) == (state, text)


@pytest.mark.parametrize(
    ("endings", "state", "worker", "user_can_mend"),
    [
        # The first one counts: the others lost their partner.
        ([(0, 1, "T10"), (1, 137, "T09")], State.FAILED_ONCE, 1, False),
        ([(0, 1, "T09"), (1, 137, "T10")], State.FAILED, 0, False),
        ([(0, 2, "T09"), (1, 1, "T10")], State.FAILED, 0, True),
        ([(0, 1, "T09"), (1, 2, "T10")], State.FAILED, 0, False),
        ([(1, 1, "T09"), (0, 1, "")], State.FAILED, 1, False),
    ],
)
def test_the_first_failure_decides(
    endings: list[tuple[int, int, str]], state: State, worker: int, user_can_mend: bool
) -> None:
    pods = [pod(index, ended(code, at=at)) for index, code, at in endings]
    verdict = verdict_after(0, job(condition("Failed")), pods)
    assert verdict.ending is not None
    assert (verdict.state, verdict.ending.worker, verdict.user_can_mend) == (state, worker, user_can_mend)


@pytest.mark.parametrize(("seconds", "state"), [(59, State.RUNNING), (60, State.FAILED)])
def test_an_operator_that_does_not_see_a_failure_is_waited_for_for_a_while(seconds: float, state: State) -> None:
    verdict = verdict_after(seconds, job(RUNNING), [pod(0, running()), pod(1, ended(1))])
    assert verdict.state is state


def test_an_eviction_long_ago_is_not_why_a_job_fails_now() -> None:
    history = History()
    history.change_pod("ADDED", pod(0, ended(143, at="T01"), uid="old"))
    history.change_pod("DELETED", pod(0, ended(143, at="T01"), uid="old"))
    verdict = verdict_after(0, job(condition("Failed")), [pod(0, ended(1, at="T09"), uid="new")], history=history)
    assert (verdict.state, verdict.text) == (State.FAILED, "worker 0 ended with exit code 1")


def test_a_worker_that_is_alone_needs_no_number() -> None:
    verdict = verdict_after(0, job(condition("Failed"), num_workers=1), [pod(0, ended(1))], num_workers=1)
    assert verdict.text == "its worker ended with exit code 1"


def test_a_queue_is_named() -> None:
    assert verdict_after(0, job(suspend=True), queue="research").text == "queued in research"


@pytest.mark.parametrize(("num_failures", "state"), [(0, State.RUNNING), (3, State.RUNNING), (4, State.FAILED)])
def test_restarts_are_bounded(num_failures: int, state: State) -> None:
    history = History()
    for number in range(num_failures):
        history.change_pod("ADDED", pod(1, ended(138, message="The store is away."), uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, ended(138), uid=f"old-{number}"))
    verdict = verdict_after(0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, max_restarts=3)
    assert verdict.state is state
    if state is State.FAILED:
        assert "worker 1 ended 4 times without success (max_restarts is 3)" in verdict.text
        assert verdict.ending.message == "The store is away."


@pytest.mark.parametrize(("num_evictions", "state"), [(4, State.RUNNING), (20, State.RUNNING), (21, State.FAILED)])
def test_evictions_are_no_failures_and_bounded_by_a_number_of_their_own(num_evictions: int, state: State) -> None:
    history = History(num_disruptions={1: 1})
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    for number in range(num_evictions - 1):
        history.change_pod("ADDED", pod(1, evicted, uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, evicted, uid=f"old-{number}"))
    settings = {"max_restarts": 0, "max_disruptions": 20}
    verdict = verdict_after(0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, **settings)
    assert verdict.state is state
    if state is State.FAILED:
        assert verdict.text == (
            "the cluster took worker 1 away 21 times (max_disruptions is 20), the last time with Evicted"
        )


def test_failures_between_evictions_still_count() -> None:
    history = History()
    for number, status in enumerate([ended(138), {"phase": "Failed", "reason": "Evicted"}] * 2):
        history.change_pod("ADDED", pod(1, status, uid=f"old-{number}"))
        history.change_pod("DELETED", pod(1, status, uid=f"old-{number}"))
    verdict = verdict_after(0, job(RUNNING), [pod(0, running()), pod(1, running())], history=history, max_restarts=1)
    assert verdict.state is State.FAILED
    assert (
        verdict.text == "worker 1 ended 2 times without success (max_restarts is 1), the last time with exit code 138"
    )


@pytest.mark.parametrize("seen", [job(RUNNING), job(condition("Failed"))])
def test_out_of_memory_again_is_the_limits_fault(seen: dict[str, Any]) -> None:
    history = History(num_out_of_memory={0: 1, 1: 1})
    verdict = verdict_after(0, seen, [pod(1, ended(137, reason="OOMKilled"))], history=history)
    assert verdict.state is State.FAILED
    assert verdict.text.startswith("worker 1 ran out of memory 2 times (limit 2Gi, /dev/shm included)")


@pytest.mark.parametrize(
    ("seconds", "settings", "state", "text"),
    [
        (99, {"deadline_seconds": 100.0}, State.RUNNING, "running"),
        (101, {"deadline_seconds": 100.0}, State.FAILED, "it ran for longer than deadline_seconds allows (100 s)"),
        (1e6, {"stall_seconds": None}, State.RUNNING, "running"),
        (1799, {}, State.RUNNING, "running"),
        (1801, {}, State.FAILED, "its workers run and have said nothing of progress for 1800 s (stall_seconds)"),
    ],
)
def test_running_for_too_long(seconds: float, settings: dict[str, Any], state: State, text: str) -> None:
    verdict = verdict_after(seconds, job(RUNNING), [pod(0, running()), pod(1, running())], **settings)
    assert (verdict.state, verdict.text) == (state, text)


def test_time_in_a_queue_is_not_late() -> None:
    verdict = verdict_after(1e6, job(suspend=True), deadline_seconds=1.0, stall_seconds=1.0)
    assert verdict.state is State.QUEUED


@pytest.mark.parametrize(
    ("seconds", "status", "state", "text"),
    [
        (59, waiting("ErrImagePull", "no such image"), State.STARTING, "worker 1 cannot start yet: ErrImagePull: no"),
        (60, waiting("ErrImagePull", "no such image"), State.FAILED, "worker 1 cannot start: ErrImagePull: no such"),
        (0, waiting("InvalidImageName", "a b"), State.FAILED, "worker 1 cannot start: InvalidImageName: a b"),
        (1e6, waiting("ContainerCreating"), State.STARTING, "1 of 2 workers running"),
        (1e6, unschedulable(), State.STARTING, "waiting for nodes: 0/1 nodes are available"),
    ],
)
def test_a_worker_that_cannot_start(seconds: float, status: dict[str, Any], state: State, text: str) -> None:
    verdict = verdict_after(seconds, job(CREATED), [pod(0, running()), pod(1, status)], stall_seconds=None)
    assert (verdict.state, verdict.text[: len(text)]) == (state, text)


def test_waiting_for_nodes_can_be_bounded() -> None:
    pods = [pod(0, unschedulable()), pod(1, unschedulable())]
    assert verdict_after(29, job(CREATED), pods, schedule_seconds=30.0).state is State.STARTING
    verdict = verdict_after(30, job(CREATED), pods, schedule_seconds=30.0)
    assert (verdict.state, verdict.text) == (
        State.FAILED,
        "worker 0 found no node for 30 s (schedule_seconds): 0/1 nodes are available",
    )


@pytest.mark.parametrize(
    ("seconds", "num_pods", "state", "text"),
    [
        (59, 1, State.STARTING, "the cluster refuses to make its workers: exceeded quota: gpus"),
        (60, 1, State.FAILED, "the cluster refuses to make its workers: exceeded quota: gpus"),
        (60, 2, State.RUNNING, "running"),
    ],
)
def test_pods_that_the_cluster_refuses(seconds: float, num_pods: int, state: State, text: str) -> None:
    verdict = verdict_after(seconds, job(CREATED), [pod(index, running()) for index in range(num_pods)], events=[QUOTA])
    assert (verdict.state, verdict.text) == (state, text)


@pytest.mark.parametrize(
    ("seconds", "state", "text"),
    [
        (14, State.STARTING, "0 of 2 workers running"),
        (15, State.STARTING, "waiting for the training operator"),
        (600, State.FAILED, "the training operator has not looked at the job for 600 s; is it running?"),
    ],
)
def test_an_operator_that_is_not_there(seconds: float, state: State, text: str) -> None:
    verdict = verdict_after(seconds, job())
    assert (verdict.state, verdict.text[: len(text)]) == (state, text)


def test_a_job_whose_pods_are_all_refused_has_no_condition_either() -> None:
    verdict = verdict_after(20, job(), events=[QUOTA])
    assert verdict.text == "the cluster refuses to make its workers: exceeded quota: gpus"


def test_reasons_that_take_turns_are_one_topic() -> None:
    topics = {
        verdict_after(1, job(CREATED), [pod(0, waiting(reason))]).topic
        for reason in ("ErrImagePull", "ImagePullBackOff")
    }
    assert topics == {"start 0"}


@pytest.mark.parametrize("state", list(State))
def test_an_end_is_an_end(state: State) -> None:
    assert state.is_end == (state not in (State.QUEUED, State.STARTING, State.RUNNING))
