"""The whole launcher works against an API server in memory; the test acts as the operator."""

import pytest

from peerkd.errors import JobFailedError
from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.kinds.kind import JobKind
from tests.fake_kubernetes.operator import NAMESPACE, Operator, waiting
from tests.fake_kubernetes.server import FakeKubernetes
from tests.unit.launch.kubernetes.conftest import StartLaunch, eventually, jobs, of_all_kinds


@of_all_kinds
def test_a_job_that_succeeds_is_done_and_accounted_for(
    launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
) -> None:
    started = launch(num_workers=2, gpus_per_worker=4)
    operator.start(2)
    operator.started("2026-01-01T00:00:00Z")
    operator.complete(at="2026-01-01T00:01:40Z")
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
            for request in kubernetes.asked_for_jobs("PATCH")
        }

    eventually(lambda: len(renewals()) >= 3)
    operator.start()
    operator.succeed()
    started.result()


class TestTakingOn:
    @of_all_kinds
    def test_a_launcher_that_is_started_again_adopts_the_job_of_the_first(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        operator.start()
        uid = operator.job()["metadata"]["uid"]
        second = launch()
        eventually(lambda: len(kubernetes.asked_for_jobs("POST")) == 2)
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

    def test_a_job_that_succeeded_long_ago_is_created_again_because_its_artifact_is_missing(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        first = launch()
        operator.complete(at="2026-01-01T00:01:40Z")
        first.result()
        uid = operator.job()["metadata"]["uid"]
        second = launch()
        eventually(lambda: [job for job in jobs(kubernetes) if job["metadata"]["uid"] != uid])
        operator.start()
        operator.succeed()
        second.result()

    @of_all_kinds
    def test_a_failed_job_is_deleted_and_created_again_afterwards(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, kind: JobKind
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
        assert delete.body == {"propagationPolicy": kind.propagation_policy, "preconditions": {"uid": uid}}
        assert operator.job()["metadata"]["annotations"][names.ANNOTATION_ATTEMPT] == "2"
        operator.start()
        operator.succeed()
        second.result()

    @of_all_kinds
    def test_a_job_of_the_run_with_other_settings_is_created_again(
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
    def test_jobs_of_others_are_left_alone(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes, label: str
    ) -> None:
        first = launch()
        operator.change_job({"metadata": {"labels": {label: "somebody-else"}}})
        with pytest.raises(ValueError, match="must be of this run"):
            launch().result()
        assert kubernetes.asked("DELETE") == []
        operator.complete()
        first.result()

    @of_all_kinds
    def test_a_job_whose_creation_was_not_acknowledged_is_adopted(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        def hang_up(_: object) -> None:
            raise ConnectionError

        kubernetes.on_create = hang_up
        started = launch()
        eventually(lambda: len(kubernetes.asked_for_jobs("POST")) == 2)
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
        operator.complete()
        started.result()

    def test_without_a_pipeline_nothing_owns_the_job(self, launch: StartLaunch, operator: Operator) -> None:
        started = launch()
        assert "ownerReferences" not in operator.job()["metadata"]
        operator.complete()
        started.result()


class TestStarting:
    def test_a_missing_image_is_reported_and_the_job_deleted(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.acknowledge()
        operator.make_pod(0, **waiting("ErrImagePull", "manifest unknown"))
        with pytest.raises(JobFailedError, match="worker 0 cannot start: ErrImagePull: manifest unknown"):
            started.result()
        assert jobs(kubernetes) == []

    @of_all_kinds
    def test_refused_pods_are_reported_and_the_job_deleted(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch()
        operator.refuse_pods('pods "w-0" is forbidden: violates PodSecurity "restricted"')
        with pytest.raises(JobFailedError, match=r'refuses to create its pods: .*violates PodSecurity "restricted"'):
            started.result()
        assert jobs(kubernetes) == []

    def test_waiting_for_nodes_is_reported_and_continues(
        self, launch: StartLaunch, operator: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch()
        operator.acknowledge()
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

    @of_all_kinds
    def test_waiting_in_a_queue_is_reported_and_not_counted_as_running(
        self, launch: StartLaunch, operator: Operator, capsys: pytest.CaptureFixture[str]
    ) -> None:
        started = launch(queue="research", deadline_seconds=0.2)
        assert operator.is_suspended
        said: list[str] = []
        eventually(lambda: said.append(capsys.readouterr().out) or "queued in research" in "".join(said))
        operator.suspend(False)
        operator.start()
        with pytest.raises(JobFailedError, match="longer than deadline_seconds"):
            started.result()

    def test_a_job_without_output_has_stalled(
        self, launch: StartLaunch, operator: Operator, kubernetes: FakeKubernetes
    ) -> None:
        started = launch(stall_seconds=0.2)
        operator.start()
        with pytest.raises(JobFailedError, match=r"reported no progress for 0.2 s \(stall_seconds\)"):
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
