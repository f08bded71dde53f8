"""An invented kind of job. It shares nothing with PyTorchJobs, so tests fail if code uses a constant of PyTorchJobs."""

from collections.abc import Mapping
from typing import Any

from peerkd.launch.kubernetes.client import CONFIG_MAPS, Resource
from peerkd.launch.kubernetes.kinds.kind import (
    Controller,
    Job,
    JobKind,
    JobSpec,
    JobStatus,
    Object,
    Permission,
    Prerequisite,
    condition,
    read_time,
)

RESOURCE = Resource("sample.example", "v1alpha1", "samplejobs")


def _manifest(spec: JobSpec) -> dict[str, Any]:
    return {
        "apiVersion": "sample.example/v1alpha1",
        "kind": "SampleJob",
        "metadata": spec.metadata,
        "spec": {"templateRef": spec.metadata.name, "count": spec.num_workers, "paused": spec.is_suspended},
    }


def _prerequisites(spec: JobSpec) -> tuple[Prerequisite, ...]:
    """Return the separate object that contains the pod template."""
    metadata = {"name": spec.metadata.name, "labels": spec.metadata.labels}
    template = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"template": spec.pod_template}}
    return (Prerequisite(CONFIG_MAPS, template),)


def _read_status(seen: Object) -> JobStatus:
    spec, failed, complete = seen.get("spec") or {}, condition(seen, "Broken"), condition(seen, "Complete")
    return JobStatus(
        num_workers=int(spec.get("count", 1)),
        is_suspended=bool(spec.get("paused")),
        is_acknowledged=True,
        has_succeeded=complete is not None,
        has_failed=failed is not None,
        failure_message=str((failed or {}).get("message") or ""),
        started_at=read_time(seen["metadata"].get("creationTimestamp")),
        is_running=False,
        running_since=None,
        restarting_since=None,
        ended_at=read_time((complete or failed or {}).get("lastTransitionTime")),
        ttl_seconds_after_finished=None,
    )


def _event_fields(job: Job) -> tuple[Mapping[str, str], ...]:
    return ({"involvedObject.name": job.name},)


SAMPLEJOB = JobKind(
    name="SampleJob",
    resource=RESOURCE,
    controller=Controller(title="sample controller", deployment="sample-controller", min_version=(2, 3)),
    manifest=_manifest,
    read_status=_read_status,
    worker_host=lambda name, index: f"{name}-node-0-{index}",
    container="node",
    job_label="sample.example/job",
    index_label="sample.example/index",
    retryable_exit_codes=range(200, 256),
    pod_creation_failures=frozenset({"FailedCreate"}),
    permissions=(Permission(RESOURCE, ("create", "get")), Permission(CONFIG_MAPS, ("create", "patch"))),
    event_fields=_event_fields,
    propagation_policy="Background",
    max_name_length=40,
    prerequisites=_prerequisites,
)
