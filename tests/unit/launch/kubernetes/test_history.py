from peerkd.launch.kubernetes.history import History
from tests.unit.launch.kubernetes.objects import ended, event, job, pod, running, unschedulable, waiting

RUNNING_JOB, SUSPENDED_JOB = job(), job(suspend=True)
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


def test_each_pod_of_a_worker_fails_once_however_often_it_is_seen() -> None:
    history = History()
    for kind in ("ADDED", "MODIFIED", "MODIFIED", "DELETED"):
        history.change_pod(kind, pod(1, ended(137, reason="OOMKilled"), uid="a"))
    history.change_pod("ADDED", pod(1, running(), uid="b"))
    history.change_pod("MODIFIED", pod(1, ended(138), uid="b"))
    assert (history.num_failures(1), history.num_failures(0)) == (2, 0)
    assert history.num_out_of_memory == {1: 1}


def test_out_of_memory_is_remembered_over_attempts() -> None:
    history = History(num_out_of_memory={1: 1})
    history.change_pod("ADDED", pod(1, ended(137, reason="OOMKilled")))
    assert history.num_out_of_memory[1] == 2


def test_a_list_tells_of_pods_that_are_gone() -> None:
    history = History()
    history.replace_pods([pod(0, running(), uid="a"), pod(1, running(), uid="b")])
    history.replace_pods([pod(0, running(), uid="c"), pod(1, running(), uid="b")])
    assert history.num_disruptions == {0: 1}
    assert history.pods[0]["metadata"]["uid"] == "c"


def test_a_pod_deleted_by_hand_was_taken_away_once_its_successor_is_there() -> None:
    history = History(num_disruptions={0: 4, 1: 2})
    history.note(RUNNING_JOB, now_seconds=0)
    history.change_pod("ADDED", pod(0, running(), uid="a"))
    history.change_pod("DELETED", pod(0, running(), uid="a"))
    assert history.num_disruptions == {0: 4, 1: 2}
    history.change_pod("ADDED", pod(0, waiting("ContainerCreating"), uid="b"))
    assert history.num_disruptions == {0: 5, 1: 2}
    assert history.num_failures(0) == 0


def test_pods_that_a_queue_took_back_have_not_failed() -> None:
    history = History()
    history.note(RUNNING_JOB, now_seconds=0)
    history.change_pod("ADDED", pod(0, running(), uid="a"))
    history.change_pod("MODIFIED", pod(0, ended(143), uid="a", **DELETED))
    history.change_pod("DELETED", pod(0, ended(143), uid="a", **DELETED))
    history.note(SUSPENDED_JOB, now_seconds=1)
    history.note(RUNNING_JOB, now_seconds=2)
    history.change_pod("ADDED", pod(0, running(), uid="b"))
    assert (history.num_failures(0), history.num_disruptions) == (0, {})


def test_only_time_with_a_worker_at_work_is_running_time() -> None:
    history = History(running_seconds=5)
    history.note(RUNNING_JOB, now_seconds=100)
    history.change_pod("ADDED", pod(0, waiting("ContainerCreating")))
    history.note(RUNNING_JOB, now_seconds=110)
    history.change_pod("MODIFIED", pod(0, running()))
    history.note(RUNNING_JOB, now_seconds=120)
    assert history.running_seconds == 15
    history.note(SUSPENDED_JOB, now_seconds=150)
    assert history.running_seconds == 15


def test_silence_is_time_at_work_that_is_listened_to_since_the_last_sign() -> None:
    history = History()
    history.change_pod("ADDED", pod(0, running()))
    history.note(RUNNING_JOB, now_seconds=0)
    history.note(RUNNING_JOB, now_seconds=10)
    history.note(RUNNING_JOB, now_seconds=30, is_listening=False)
    assert history.silent_seconds == 10
    history.heard()
    assert history.silent_seconds == 0
    history.note(RUNNING_JOB, now_seconds=33)
    assert history.silent_seconds == 3
    history.change_pod("ADDED", pod(1, running()))
    assert history.silent_seconds == 0


def test_what_hinders_is_timed_until_it_is_gone() -> None:
    history = History()
    history.change_pod("ADDED", pod(0, waiting("ErrImagePull")))
    history.change_pod("ADDED", pod(1, unschedulable()))
    history.note(RUNNING_JOB, now_seconds=0)
    history.change_pod("MODIFIED", pod(0, waiting("ImagePullBackOff")))
    history.note(RUNNING_JOB, now_seconds=7)
    assert history.hindered_seconds == {"start pod-0": 7, "schedule pod-1": 7}
    history.change_pod("MODIFIED", pod(0, running()))
    history.change_pod("MODIFIED", pod(1, running()))
    history.note(RUNNING_JOB, now_seconds=9)
    assert history.hindered_seconds == {}


def test_what_hindered_when_the_api_went_away_may_be_gone() -> None:
    history = History()
    history.change_pod("ADDED", pod(0, waiting("ErrImagePull")))
    history.note(RUNNING_JOB, now_seconds=0)
    history.note(RUNNING_JOB, now_seconds=5)
    history.note(RUNNING_JOB, now_seconds=500, is_current=False)
    assert history.hindered_seconds == {"start pod-0": 5}


def test_pods_that_cannot_be_made_are_timed_as_long_as_some_are_missing() -> None:
    history, refusals = History(), [event("FailedCreatePod", "exceeded quota")]
    history.change_pod("ADDED", pod(0, running()))
    history.note(RUNNING_JOB, now_seconds=0, events=refusals)
    history.note(RUNNING_JOB, now_seconds=4, events=refusals)
    assert history.hindered_seconds == {"create": 4}
    history.change_pod("ADDED", pod(1, running()))
    history.note(RUNNING_JOB, now_seconds=5, events=refusals)
    assert history.hindered_seconds == {}


def test_nothing_hinders_a_job_in_a_queue() -> None:
    history = History()
    history.note(SUSPENDED_JOB, now_seconds=0)
    assert history.hindered_seconds == {}
    history.note(RUNNING_JOB, now_seconds=1)
    assert history.hindered_seconds == {"operator": 0}
