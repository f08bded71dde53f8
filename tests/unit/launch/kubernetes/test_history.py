from typing import Any

import pytest

from peerkd.launch.kubernetes.history import PodHistory
from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from tests.unit.launch.kubernetes.objects import ended, event, job, pod, running, unschedulable, waiting

RUNNING_JOB, SUSPENDED_JOB = job(), job(suspend=True)
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def test_each_pod_of_a_worker_fails_once_however_often_it_is_seen() -> None:
    history = PodHistory(PYTORCHJOB)
    for kind in ("ADDED", "MODIFIED", "MODIFIED", "DELETED"):
        history.change_pod(kind, pod(1, ended(137, reason="OOMKilled"), uid="a"))
    history.change_pod("ADDED", pod(1, running(), uid="b"))
    history.change_pod("MODIFIED", pod(1, ended(138), uid="b"))
    assert (history.num_failures(1), history.num_failures(0)) == (2, 0)
    assert history.num_out_of_memory == {1: 1}


def test_out_of_memory_is_remembered_over_attempts() -> None:
    history = PodHistory(PYTORCHJOB, num_out_of_memory={1: 1})
    history.change_pod("ADDED", pod(1, ended(137, reason="OOMKilled")))
    assert history.num_out_of_memory[1] == 2


def test_a_list_reveals_deleted_pods() -> None:
    history = PodHistory(PYTORCHJOB)
    history.replace_pods([pod(0, running(), uid="a"), pod(1, running(), uid="b")])
    history.replace_pods([pod(0, running(), uid="c"), pod(1, running(), uid="b")])
    assert history.num_disruptions == {0: 1}
    assert history.pods[0]["metadata"]["uid"] == "c"


def test_a_pod_deleted_by_hand_counts_as_removed_once_its_successor_exists() -> None:
    history = PodHistory(PYTORCHJOB, num_disruptions={0: 4, 1: 2})
    history.advance(RUNNING_JOB, now_seconds=0)
    history.change_pod("ADDED", pod(0, running(), uid="a"))
    history.change_pod("DELETED", pod(0, running(), uid="a"))
    assert history.num_disruptions == {0: 4, 1: 2}
    history.change_pod("ADDED", pod(0, waiting("ContainerCreating"), uid="b"))
    assert history.num_disruptions == {0: 5, 1: 2}
    assert history.num_failures(0) == 0


def test_pods_that_a_queue_took_back_have_not_failed() -> None:
    history = PodHistory(PYTORCHJOB)
    history.advance(RUNNING_JOB, now_seconds=0)
    history.change_pod("ADDED", pod(0, running(), uid="a"))
    history.change_pod("MODIFIED", pod(0, ended(143), uid="a", **DELETED))
    history.change_pod("DELETED", pod(0, ended(143), uid="a", **DELETED))
    history.advance(SUSPENDED_JOB, now_seconds=1)
    history.advance(RUNNING_JOB, now_seconds=2)
    history.change_pod("ADDED", pod(0, running(), uid="b"))
    assert (history.num_failures(0), history.num_disruptions) == (0, {})


def test_only_time_with_a_worker_at_work_is_running_time() -> None:
    history = PodHistory(PYTORCHJOB, running_seconds=5)
    history.advance(RUNNING_JOB, now_seconds=100)
    history.change_pod("ADDED", pod(0, waiting("ContainerCreating")))
    history.advance(RUNNING_JOB, now_seconds=110)
    history.change_pod("MODIFIED", pod(0, running()))
    history.advance(RUNNING_JOB, now_seconds=120)
    assert history.running_seconds == 15
    history.advance(SUSPENDED_JOB, now_seconds=150)
    assert history.running_seconds == 15


def test_silence_is_working_time_since_the_last_sign_of_life() -> None:
    history = PodHistory(PYTORCHJOB)
    history.change_pod("ADDED", pod(0, running()))
    history.advance(RUNNING_JOB, now_seconds=0)
    history.advance(RUNNING_JOB, now_seconds=10)
    history.advance(RUNNING_JOB, now_seconds=30, is_following_logs=False)
    assert history.silent_seconds == 10
    history.record_progress()
    assert history.silent_seconds == 0
    history.advance(RUNNING_JOB, now_seconds=33)
    assert history.silent_seconds == 3
    history.change_pod("ADDED", pod(1, running()))
    assert history.silent_seconds == 0


def test_what_blocks_a_pod_is_timed_until_it_is_resolved() -> None:
    history = PodHistory(PYTORCHJOB)
    history.change_pod("ADDED", pod(0, waiting("ErrImagePull")))
    history.change_pod("ADDED", pod(1, unschedulable()))
    history.advance(RUNNING_JOB, now_seconds=0)
    history.change_pod("MODIFIED", pod(0, waiting("ImagePullBackOff")))
    history.advance(RUNNING_JOB, now_seconds=7)
    assert history.blocked_seconds == {"start pod-0": 7, "schedule pod-1": 7}
    history.change_pod("MODIFIED", pod(0, running()))
    history.change_pod("MODIFIED", pod(1, running()))
    history.advance(RUNNING_JOB, now_seconds=9)
    assert history.blocked_seconds == {}


def test_a_problem_of_a_pod_may_be_resolved_during_an_outage() -> None:
    history = PodHistory(PYTORCHJOB)
    history.change_pod("ADDED", pod(0, waiting("ErrImagePull")))
    history.advance(RUNNING_JOB, now_seconds=0)
    history.advance(RUNNING_JOB, now_seconds=5)
    history.advance(RUNNING_JOB, now_seconds=500, is_connected=False)
    assert history.blocked_seconds == {"start pod-0": 5}


def test_pods_that_cannot_be_created_are_timed_while_some_are_missing() -> None:
    history, refusals = PodHistory(PYTORCHJOB), [event("FailedCreatePod", "exceeded quota")]
    history.change_pod("ADDED", pod(0, running()))
    history.advance(RUNNING_JOB, now_seconds=0, events=refusals)
    history.advance(RUNNING_JOB, now_seconds=4, events=refusals)
    assert history.blocked_seconds == {"create": 4}
    history.change_pod("ADDED", pod(1, running()))
    history.advance(RUNNING_JOB, now_seconds=5, events=refusals)
    assert history.blocked_seconds == {}


def test_nothing_blocks_a_job_in_a_queue() -> None:
    history = PodHistory(PYTORCHJOB)
    history.advance(SUSPENDED_JOB, now_seconds=0)
    assert history.blocked_seconds == {}
    history.advance(RUNNING_JOB, now_seconds=1)
    assert history.blocked_seconds == {"controller": 0}


def test_a_failure_blocks_nothing_once_all_workers_were_restarted() -> None:
    """Worker 0 ended with 1 because worker 1 was killed, and both were restarted for the sake of worker 1."""
    history = PodHistory(PYTORCHJOB)
    history.replace_pods([pod(0, running(), uid="a"), pod(1, running(), uid="b")])
    history.replace_pods([pod(0, ended(1), uid="a"), pod(1, ended(137), uid="b")])
    history.advance(RUNNING_JOB, now_seconds=0)
    assert history.blocked_seconds == {"failure": 0}
    # The exit code 1 fails the job, or is a consequence: no limit counts it.
    assert (history.num_failures(0), history.num_failures(1)) == (0, 1)
    history.replace_pods([pod(0, running(), uid="c"), pod(1, running(), uid="d")])
    history.advance(RUNNING_JOB, now_seconds=1000)
    assert history.blocked_seconds == {}
    assert (history.num_failures(0), history.num_failures(1)) == (0, 1)


@pytest.mark.parametrize(
    ("happened_at", "reason"),
    [
        ("", "exceeded quota"),
        ("2026-01-01T00:00:07Z", None),
        ("2026-01-01T00:00:08.999999Z", None),
        ("2026-01-01T00:00:09.000001Z", "exceeded quota"),
    ],
)
@pytest.mark.parametrize(
    ("status", "created_at"),
    [(running(), "2026-01-01T00:00:09Z"), (ended(137, at="2026-01-01T00:00:09Z"), "2026-01-01T00:00:00Z")],
    ids=["created", "ended"],
)
def test_pods_are_not_refused_by_an_event_older_than_the_last_change_of_a_pod(
    status: dict[str, Any], created_at: str, happened_at: str, reason: str | None
) -> None:
    history = PodHistory(PYTORCHJOB)
    history.change_pod("ADDED", pod(0, status, creationTimestamp=created_at))
    refusal = event("FailedCreatePod", "exceeded quota.", at=happened_at)
    assert history.creation_failure(RUNNING_JOB, [refusal]) == reason
