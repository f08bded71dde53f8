from datetime import UTC, datetime
from typing import Any

import pytest

from peerkd.launch.kubernetes.kinds import PYTORCHJOB
from tests.unit.launch.kubernetes.objects import condition, job

AT = datetime(2026, 1, 1, tzinfo=UTC)


def status(*conditions: dict[str, Any], **more: Any) -> Any:
    return PYTORCHJOB.read_status({"spec": {}, "status": {"conditions": list(conditions), **more}})


def test_an_object_without_optional_fields_is_read() -> None:
    seen = PYTORCHJOB.read({"metadata": {"name": "job", "uid": "1"}})
    assert (seen.labels, seen.annotations, seen.owner_references, seen.created_at) == ({}, {}, (), None)
    assert (seen.status.num_workers, seen.status.is_acknowledged, seen.has_ended) == (1, False, False)


@pytest.mark.parametrize(("kind", "succeeded", "failed"), [("Succeeded", True, False), ("Failed", False, True)])
def test_a_condition_counts_only_while_it_is_true(kind: str, succeeded: bool, failed: bool) -> None:
    seen = job(condition(kind)).status
    assert (seen.has_succeeded, seen.has_failed, seen.ended_at) == (succeeded, failed, AT)
    assert not job(condition(kind, status="False")).has_ended


def test_the_completion_time_is_the_end_and_on_some_failures_there_is_none() -> None:
    assert status(condition("Failed"), completionTime="2026-01-01T00:00:09Z").ended_at == AT.replace(second=9)
    assert status(condition("Failed")).ended_at == AT


@pytest.mark.parametrize(
    ("started", "is_restarting"), [("2026-01-01T00:00:00Z", True), ("2026-01-01T00:00:01Z", False), (None, False)]
)
def test_a_restart_before_the_last_start_is_over(started: str | None, is_restarting: bool) -> None:
    assert (status(condition("Restarting"), startTime=started).restarting_since is not None) is is_restarting


def test_a_pod_is_known_by_its_labels() -> None:
    pod = {
        "metadata": {"labels": {"training.kubeflow.org/job-name": "job", "training.kubeflow.org/replica-index": "3"}}
    }
    assert PYTORCHJOB.worker_index(pod) == 3
    assert pod["metadata"]["labels"].items() >= PYTORCHJOB.pod_labels("job").items()
