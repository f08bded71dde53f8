import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from peerkd.config.cluster import ClusterConfig
from peerkd.launch.kubernetes.kinds import TRAINJOB
from peerkd.launch.kubernetes.manifest import JobManifest, manifest_for
from peerkd.launch.order import StageOrder
from tests.unit.launch.kubernetes.objects import condition

AT = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(order: StageOrder, **settings: Any) -> JobManifest:
    return manifest_for(
        order, ClusterConfig.from_mapping(settings), kind=TRAINJOB, run_id="run-1", environment={"AWS_REGION": "eu"}
    )


def runtime(made: JobManifest) -> dict[str, Any]:
    (only,) = made.prerequisites
    return only.manifest


def job_set(made: JobManifest) -> dict[str, Any]:
    return runtime(made)["spec"]["template"]["spec"]


def batch_job(made: JobManifest) -> dict[str, Any]:
    (only,) = job_set(made)["replicatedJobs"]
    assert (only["name"], only["replicas"]) == ("node", 1)
    return only["template"]


def test_a_job_names_its_runtime_and_contains_only_the_size(order: StageOrder) -> None:
    made = manifest(order, num_workers=3, queue="research", priority="high")
    assert (made.job["apiVersion"], made.job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    resources = {"cpu": "1", "memory": "2Gi"}
    assert made.job["spec"] == {
        "runtimeRef": {
            "apiGroup": "trainer.kubeflow.org",
            "kind": "TrainingRuntime",
            "name": runtime(made)["metadata"]["name"],
        },
        "trainer": {
            "numNodes": 3,
            "numProcPerNode": 1,
            "resourcesPerNode": {"requests": resources, "limits": resources},
        },
        "suspend": True,
    }
    labels = made.job["metadata"]["labels"]
    assert (labels["kueue.x-k8s.io/queue-name"], labels["kueue.x-k8s.io/priority-class"]) == ("research", "high")
    assert "suspend" not in manifest(order).job["spec"]


def test_a_runtime_has_the_form_that_the_trainer_requires(order: StageOrder) -> None:
    made = manifest(order)
    assert runtime(made)["kind"] == "TrainingRuntime"
    assert runtime(made)["spec"]["mlPolicy"] == {"numNodes": 1, "torch": {}}
    assert batch_job(made)["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    # With a time to live, the Trainer would start a failed training again.
    assert "ttlSecondsAfterFinished" not in str(runtime(made))
    pod = batch_job(made)["spec"]["template"]
    assert (pod["spec"]["restartPolicy"], pod["spec"]["terminationGracePeriodSeconds"]) == ("Never", 30)
    assert [each["name"] for each in pod["spec"]["containers"]] == ["node"]
    # The SDK of Kubeflow cannot list the jobs of a namespace if a runtime has no label for the framework.
    framework = {"trainer.kubeflow.org/framework": "torch"}
    assert runtime(made)["metadata"]["labels"] == pod["metadata"]["labels"] | framework


def test_the_name_of_a_runtime_depends_on_its_contents_and_fits_its_pods(order: StageOrder) -> None:
    made = [manifest(order), manifest(order), manifest(order, memory_per_worker="4Gi")]
    first, again, other = (runtime(each)["metadata"]["name"] for each in made)
    assert first == again != other
    assert all(
        name.startswith(f"{each.job['metadata']['name']}-")
        for name, each in zip((first, other), made[::2], strict=True)
    )
    long = manifest(dataclasses.replace(order, stage="a" * 80))
    assert len(runtime(long)["metadata"]["name"]) <= 63
    assert len(f"{long.job['metadata']['name']}-node-0-9999-abcde") <= 63


def test_a_worker_gets_the_index_and_the_host_names_of_this_kind(order: StageOrder) -> None:
    made = manifest(dataclasses.replace(order, num_processes=4), num_workers=2)
    (container,) = batch_job(made)["spec"]["template"]["spec"]["containers"]
    told = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
    path = "metadata.labels['batch.kubernetes.io/job-completion-index']"
    assert told["PEERKD_WORKER_INDEX"] == {"fieldRef": {"fieldPath": path}}
    name = made.job["metadata"]["name"]
    assert told["PET_RDZV_ENDPOINT"] == f"{name}-node-0-0.{name}:29400"
    # The Trainer refuses these variables, which it sets itself.
    reserved = {"PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"}
    assert told.keys().isdisjoint(reserved)
    assert made.job["spec"]["trainer"]["numProcPerNode"] == 2


def action(rules: list[dict[str, Any]], *, exit_code: int | None) -> str:
    """Return the action of the first rule for a pod that ended with a code, or was disrupted if there is none."""
    for rule in rules:
        codes = rule.get("onExitCodes")
        if codes is None:
            assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
            matches = exit_code is None
        else:
            assert codes["containerName"] == "node"
            matches = exit_code is not None and (exit_code in codes["values"]) is (codes["operator"] == "In")
        if matches:
            return str(rule["action"])
    raise AssertionError(exit_code)


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (1, "FailJob"),
        (2, "FailJob"),
        (127, "FailJob"),
        (128, "Ignore"),
        (143, "Ignore"),
        (255, "Ignore"),
        (None, "Ignore"),
    ],
)
def test_of_workers_with_separate_work_only_the_lost_one_is_replaced(
    order: StageOrder, exit_code: int | None, expected: str
) -> None:
    made = manifest(order, num_workers=2)
    policy = batch_job(made)["spec"]["podFailurePolicy"]
    assert action(policy["rules"], exit_code=exit_code) == expected
    assert batch_job(made)["spec"]["backoffLimit"] == 0
    assert "failurePolicy" not in job_set(made)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 1 matching FailJob rule at index 1",
            "FailJobSet",
        ),
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 2 matching FailJob rule at index 1",
            "FailJobSet",
        ),
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 127 matching FailJob rule at index 1",
            "FailJobSet",
        ),
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 128 matching FailJob rule at index 1",
            "Restart",
        ),
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 138 matching FailJob rule at index 1",
            "Restart",
        ),
        (
            "Container node for pod n/j-node-0-1-abcde failed with exit code 255 matching FailJob rule at index 1",
            "Restart",
        ),
        ("Pod n/j-node-0-1-abcde has condition DisruptionTarget matching FailJob rule at index 0", "Restart"),
    ],
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_of_one_training_and_lone_workers_are_restarted_together(
    order: StageOrder, num_workers: int, message: str, expected: str
) -> None:
    made = manifest(dataclasses.replace(order, num_processes=2), num_workers=num_workers)
    rules = batch_job(made)["spec"]["podFailurePolicy"]["rules"]
    assert {action(rules, exit_code=exit_code) for exit_code in (1, 138, None)} == {"FailJob"}
    (decisive, *_) = (
        rule["action"]
        for rule in job_set(made)["failurePolicy"]["rules"]
        if all(re.search(each, message) for each in rule.get("onJobFailureMessagePatterns", []))
    )
    assert decisive.startswith(expected)


def status(
    *conditions: dict[str, Any], spec: dict[str, Any] | None = None, ready: int | None = None, **more: Any
) -> Any:
    jobs = [] if ready is None else [{"name": "node", "active": 1, "ready": ready}]
    return TRAINJOB.read(
        {
            "metadata": {"name": "job", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z", **more},
            "spec": spec or {},
            "status": {"conditions": [*conditions], "jobsStatus": jobs},
        }
    ).status


def test_an_object_without_optional_fields_is_read() -> None:
    seen = TRAINJOB.read({"metadata": {"name": "job", "uid": "1"}})
    assert (seen.status.num_workers, seen.status.is_acknowledged, seen.has_ended) == (1, False, False)
    assert (seen.status.started_at, seen.status.ttl_seconds_after_finished) == (None, None)


@pytest.mark.parametrize(("kind", "succeeded", "failed"), [("Complete", True, False), ("Failed", False, True)])
def test_the_time_of_the_last_condition_is_the_end(kind: str, succeeded: bool, failed: bool) -> None:
    seen = status(condition(kind, at="2026-01-01T00:00:09Z", message="why"), ready=1)
    assert (seen.has_succeeded, seen.has_failed, seen.ended_at) == (succeeded, failed, AT.replace(second=9))
    assert seen.failure_message == ("why" if failed else "")
    assert not seen.is_running
    assert status(condition(kind, status="False")).ended_at is None


def test_a_job_starts_when_it_is_created_or_resumed() -> None:
    assert (status().started_at, status().is_acknowledged) == (AT, False)
    suspended = status(condition("Suspended"), spec={"suspend": True}, ready=1)
    assert (suspended.is_suspended, suspended.started_at, suspended.is_running) == (True, None, False)
    resumed = condition("Suspended", status="False", at="2026-01-01T00:00:05Z")
    assert status(resumed).started_at == AT.replace(second=5)
    assert [status(resumed, ready=ready).is_running for ready in (1, 0)] == [True, False]
    # The job may have waited for nodes since then.
    assert status(resumed, ready=1).running_since is None


def test_the_time_to_live_is_kept_in_an_annotation(order: StageOrder) -> None:
    metadata = manifest(order, ttl_seconds_after_finished=7).job["metadata"]
    assert status(annotations=metadata["annotations"]).ttl_seconds_after_finished == 7


def test_a_pod_is_known_by_its_labels() -> None:
    labels = {"jobset.sigs.k8s.io/jobset-name": "job", "batch.kubernetes.io/job-completion-index": "3"}
    assert TRAINJOB.worker_index({"metadata": {"labels": labels}}) == 3
    assert labels.items() >= TRAINJOB.pod_labels("job").items()
