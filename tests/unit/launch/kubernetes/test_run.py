"""The launcher as a whole, against an API server in memory; a test plays the operator."""

import time
from collections.abc import Callable

import pytest

from peerkd.errors import ClusterRefusedError, ClusterUnavailableError, JobFailedError
from peerkd.launch.kubernetes import names
from tests.fake_kubernetes.operator import NAMESPACE, Operator, ended, waiting
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import Launch, eventually

StartLaunch = Callable[..., Launch]


def jobs(kubernetes: FakeKubernetes) -> list[dict]:
    return kubernetes.store.list("pytorchjobs", NAMESPACE)


def test_a_job_that_succeeds_is_done_and_accounted_for(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, gpus_per_worker=4)
    operator.start(2)
    operator.change_job({"status": {"startTime": "2026-01-01T00:00:00Z"}})
    operator.set_condition("Succeeded", completionTime="2026-01-01T00:01:40Z")
    (account,) = started.result()
    assert (account.seconds, account.num_workers, account.gpus_per_worker) == (100.0, 2, 4)
    assert account.gpu_seconds == 800
    assert kubernetes.asked("DELETE") == []


def test_the_job_carries_attempt_lease_and_labels(launch: StartLaunch, operator: Operator) -> None:
    started = launch(lease_seconds=8.0)
    metadata = operator.job()["metadata"]
    assert metadata["annotations"][names.ANNOTATION_ATTEMPT] == "1"
    assert metadata["annotations"][names.ANNOTATION_LEASE_SECONDS] == "8"
    assert metadata["labels"][names.LABEL_RUN] == "run-1"
    operator.start()
    operator.succeed()
    started.result()


def test_the_lease_is_renewed_while_the_job_is_waited_for(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(lease_seconds=1.0)

    def renewals() -> set[str]:
        return {
            request.body["metadata"]["annotations"][names.ANNOTATION_LEASE_RENEWED]
            for request in kubernetes.asked("PATCH", "pytorchjobs")
        }

    eventually(lambda: len(renewals()) >= 3)
    operator.start()
    operator.succeed()
    started.result()


class TestTakingOn:
    def test_a_launcher_that_is_started_again_takes_on_the_job_of_the_first(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        operator.start()
        uid = operator.job()["metadata"]["uid"]
        second = launch()
        eventually(lambda: len(kubernetes.asked("POST", "pytorchjobs")) == 2)
        operator.succeed()
        first.result()
        second.result()
        assert operator.job()["metadata"]["uid"] == uid
        assert kubernetes.asked("DELETE") == []

    def test_a_job_that_has_just_succeeded_is_done(self, launch: StartLaunch, operator: Operator) -> None:
        first = launch()
        operator.start()
        operator.succeed()
        first.result()
        uid = operator.job()["metadata"]["uid"]
        launch().result()
        assert operator.job()["metadata"]["uid"] == uid

    def test_a_job_that_succeeded_long_ago_is_made_anew_since_its_artifact_is_gone(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        operator.set_condition("Succeeded", completionTime="2026-01-01T00:01:40Z")
        first.result()
        uid = operator.job()["metadata"]["uid"]
        second = launch()
        eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
        operator.start()
        operator.succeed()
        second.result()

    def test_a_job_that_failed_is_deleted_and_made_anew_once_it_is_gone(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        operator.start()
        operator.end_pod(0, 1)
        operator.fail()
        with pytest.raises(JobFailedError):
            first.result()
        uid = operator.job()["metadata"]["uid"]
        kubernetes.seconds_until_gone = 0.3
        second = launch()
        eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
        (delete,) = kubernetes.asked("DELETE")
        assert delete.body == {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        assert operator.job()["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "2"
        operator.start()
        operator.succeed()
        second.result()

    def test_a_job_of_the_run_that_was_asked_for_something_else_is_made_anew(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        uid = operator.job()["metadata"]["uid"]
        second = launch(memory_per_worker="4Gi")
        eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
        with pytest.raises(JobFailedError, match="was deleted"):
            first.result()
        operator.start()
        operator.succeed()
        second.result()

    @pytest.mark.parametrize("label", [names.LABEL_MANAGED_BY, names.LABEL_RUN])
    def test_what_is_not_ours_is_left_alone(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, label: str
    ) -> None:
        first = launch()
        operator.change_job({"metadata": {"labels": {label: "somebody-else"}}})
        with pytest.raises(ValueError, match="must be of this run"):
            launch().result()
        assert kubernetes.asked("DELETE") == []
        operator.set_condition("Succeeded")
        first.result()

    def test_a_job_that_was_made_though_the_answer_was_lost_is_taken_on(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        def hang_up(_: object) -> None:
            raise ConnectionError

        kubernetes.on_create = hang_up
        started = launch()
        eventually(lambda: len(kubernetes.asked("POST", "pytorchjobs")) == 2)
        operator.start()
        operator.succeed()
        started.result()
        assert len(jobs(kubernetes)) == 1


class TestOwner:
    def test_the_workflow_of_the_launchers_pod_owns_the_job(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        owners = [
            {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "1"},
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "wf", "uid": "2", "controller": True},
        ]
        kubernetes.store.put("pods", NAMESPACE, {"metadata": {"name": "step", "ownerReferences": owners}})
        started = launch(environment={"KFP_POD_NAME": "step"})
        (owner,) = operator.job()["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Workflow", "wf", "2")
        assert owner["blockOwnerDeletion"] is False
        assert operator.job()["metadata"]["annotations"][names.ANNOTATION_WORKFLOW] == "peerkd/wf"
        operator.set_condition("Succeeded")
        started.result()

    def test_without_a_pipeline_nothing_owns_the_job(self, launch: StartLaunch, operator: Operator) -> None:
        started = launch()
        assert "ownerReferences" not in operator.job()["metadata"]
        operator.set_condition("Succeeded")
        started.result()


class TestTroubleWithTheApi:
    def test_a_past_that_is_forgotten_is_listed_anew(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.start()
        eventually(lambda: [each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch])
        num_lists = len([each for each in kubernetes.asked("GET", "pytorchjobs") if not each.is_watch])
        kubernetes.store.forget_the_past()
        eventually(
            lambda: len([each for each in kubernetes.asked("GET", "pytorchjobs") if not each.is_watch]) > num_lists
        )
        operator.succeed()
        started.result()

    @pytest.mark.parametrize("status", [None, 500, 503, 504, 429])
    def test_a_blip_is_survived(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, status: int | None
    ) -> None:
        fault = kubernetes.fail(status, times=6)
        started = launch()
        operator.start()
        eventually(lambda: fault.num_left == 0)
        operator.succeed()
        started.result()

    def test_streams_that_break_in_the_middle_are_taken_up_again(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.start()
        for num_watches in (1, 2, 3):
            eventually(
                lambda num=num_watches: (
                    len([each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch]) >= num
                )
            )
            kubernetes.cut_streams()
        operator.succeed()
        started.result()

    def test_an_end_that_came_while_the_api_was_away_is_noticed_when_it_is_back(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch()
        operator.start()
        eventually(lambda: [each for each in kubernetes.asked("GET", "pods") if each.is_watch])
        kubernetes.stop()
        operator.succeed()
        said: list[str] = []
        eventually(lambda: said.append(capsys.readouterr().out) or "waiting for the cluster's API" in "".join(said))
        kubernetes.start()
        started.result()
        assert "the cluster's API is back" in "".join(said) + capsys.readouterr().out

    def test_nothing_is_given_up_for_what_was_seen_before_the_api_went_away(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch(deadline_seconds=0.3, start_seconds=1.5)
        operator.set_condition("Created")
        operator.make_pod(0, **waiting("ErrImagePull"))
        said: list[str] = []
        eventually(lambda: said.append(capsys.readouterr().out) or "cannot start yet" in "".join(said))
        kubernetes.stop()
        operator.run_pod()
        operator.succeed()
        eventually(lambda: said.append(capsys.readouterr().out) or "waiting for the cluster's API" in "".join(said))
        time.sleep(0.7)
        kubernetes.start()
        started.result()

    def test_an_api_that_is_away_for_too_long_is_given_up(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(patience_seconds=1.0)
        operator.start()
        kubernetes.stop()
        with pytest.raises(ClusterUnavailableError, match=r"cannot be reached: .*; this has gone on for \d+ s"):
            started.result()

    def test_a_refusal_is_told_at_once(self, launch: StartLaunch, kubernetes: FakeKubernetes) -> None:
        kubernetes.fail(403, method="POST", message="pytorchjobs is forbidden: no rights")
        with pytest.raises(ClusterRefusedError, match="no rights") as raised:
            launch(made=False).result()
        assert raised.value.status == 403

    def test_a_server_that_has_just_started_and_knows_nobody_yet_is_forgiven(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.start()
        eventually(lambda: [each for each in kubernetes.asked("GET", "pytorchjobs") if each.is_watch])
        fault = kubernetes.fail(403, method="GET", times=3)
        kubernetes.cut_streams()
        eventually(lambda: fault.num_left == 0)
        operator.succeed()
        started.result()


class TestEnds:
    def test_what_a_user_can_mend_is_a_value_error_with_the_workers_sentence(
        self, launch: StartLaunch, operator: Operator
    ) -> None:
        started = launch(num_workers=2)
        operator.start(2)
        operator.end_pod(1, 2, message='{"message": "sweep.alphas must not be empty.", "exit_code": 2}')
        operator.fail()
        with pytest.raises(ValueError, match=r"worker 1 ended with exit code 2: sweep.alphas must not be empty\.$"):
            started.result()

    def test_a_failure_names_the_first_worker_and_its_last_lines(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
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

    def test_a_job_that_failed_is_left_to_be_looked_at(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.start()
        operator.fail()
        operator.end_pod(0, 1)
        with pytest.raises(JobFailedError):
            started.result()
        assert kubernetes.asked("DELETE") == []

    def test_a_job_deleted_by_hand_is_not_made_again(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.start()
        kubernetes.store.remove("pytorchjobs", NAMESPACE, operator.job()["metadata"]["name"])
        with pytest.raises(JobFailedError, match="was deleted while it was at work"):
            started.result()
        assert len(kubernetes.asked("POST", "pytorchjobs")) == 1

    def test_a_job_replaced_by_another_of_its_name_is_gone(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
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

    def test_out_of_memory_twice_says_what_to_raise(self, launch: StartLaunch, operator: Operator) -> None:
        started = launch(num_workers=2)
        operator.start(2)
        operator.end_pod(1, 137, reason="OOMKilled")
        operator.remake_pod(1)
        operator.end_pod(1, 137, reason="OOMKilled")
        with pytest.raises(JobFailedError, match=r"worker 1 ran out of memory 2 times \(limit 2Gi.*memory_per_worker"):
            started.result()

    def test_an_evicted_worker_is_waited_for(self, launch: StartLaunch, operator: Operator) -> None:
        started = launch(num_workers=2)
        operator.start(2)
        operator.evict_pod(0)
        operator.remake_pod(0)
        operator.succeed(2)
        assert len(started.result()) == 1

    def test_restarts_of_a_worker_are_bounded(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(max_restarts=2)
        operator.start()
        for _ in range(2):
            operator.end_pod(0, 138, message="The store cannot be reached.")
            operator.remake_pod(0)
        operator.end_pod(0, 138, message="The store cannot be reached.")
        with pytest.raises(JobFailedError, match=r"worker 0 ended 3 times .*exit code 138: The store cannot be"):
            started.result()
        assert jobs(kubernetes) == []

    def test_a_job_that_failed_for_a_reason_that_may_pass_is_made_anew(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(num_workers=2, max_retries=1)
        operator.start(2)
        operator.set_pod(1, ended(143, at="2026-01-01T00:00:01Z"))
        operator.end_pod(0, 1, at="2026-01-01T00:00:02Z")
        uid = operator.job()["metadata"]["uid"]
        operator.fail()
        eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
        operator.start(2)
        operator.succeed(2)
        assert len(started.result()) == 2

    def test_new_attempts_are_bounded(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(max_retries=1)
        for num_jobs in (1, 2):
            eventually(lambda num=num_jobs: len(kubernetes.asked("POST", "pytorchjobs")) == num and jobs(kubernetes))
            operator.start()
            operator.end_pod(0, 143)
            operator.fail()
        with pytest.raises(JobFailedError, match="exit code 143"):
            started.result()


class TestStarting:
    def test_an_image_that_does_not_exist_is_told_and_the_job_deleted(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.set_condition("Created")
        operator.make_pod(0, **waiting("ErrImagePull", "manifest unknown"))
        with pytest.raises(JobFailedError, match="worker 0 cannot start: ErrImagePull: manifest unknown"):
            started.result()
        assert jobs(kubernetes) == []

    def test_pods_that_the_cluster_refuses_to_make_are_told_and_the_job_deleted(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.warn(operator.job(), "FailedCreatePod", 'pods "w-0" is forbidden: violates PodSecurity "restricted"')
        with pytest.raises(JobFailedError, match=r'refuses to make its workers: .*violates PodSecurity "restricted"'):
            started.result()
        assert jobs(kubernetes) == []

    def test_waiting_for_nodes_is_told_and_goes_on(
        self, launch: StartLaunch, operator: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch()
        operator.set_condition("Created")
        unschedulable = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
        operator.make_pod(0, conditions=[unschedulable])
        said: list[str] = []
        eventually(lambda: said.append(capsys.readouterr().out) or "waiting for nodes: 0/1 nodes" in "".join(said))
        assert not started.is_over
        operator.run_pod(0)
        operator.succeed()
        started.result()

    def test_a_queue_is_told_and_is_not_counted_as_running(
        self, launch: StartLaunch, operator: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch(queue="research", deadline_seconds=0.2)
        assert operator.job()["spec"]["runPolicy"]["suspend"] is True
        said: list[str] = []
        eventually(lambda: said.append(capsys.readouterr().out) or "queued in research" in "".join(said))
        operator.suspend(False)
        operator.start()
        with pytest.raises(JobFailedError, match="longer than deadline_seconds"):
            started.result()

    def test_a_job_that_says_nothing_has_stalled(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(stall_seconds=0.2)
        operator.start()
        with pytest.raises(JobFailedError, match=r"said nothing of progress for 0.2 s \(stall_seconds\)"):
            started.result()
        assert jobs(kubernetes) == []


def test_lines_carry_the_number_of_their_worker(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    started = launch(num_workers=2)
    operator.start(2)
    kubernetes.log(operator.pod_name(0), "peerkd | distill_pairs: 3 of 9 trials")
    kubernetes.log(operator.pod_name(1), "some library's noise")
    operator.succeed(2)
    started.result()
    out = capsys.readouterr().out.splitlines()
    assert "peerkd | distill_pairs: [worker 0] 3 of 9 trials" in out
    assert "[worker 1] some library's noise" in out
