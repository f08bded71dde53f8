"""PyTorchJobs of the Kubeflow training operator 1.9."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from peerkd.launch.kubernetes.client import Resource
from peerkd.launch.kubernetes.kinds.kind import (
    Controller,
    Job,
    JobKind,
    JobSpec,
    JobStatus,
    Object,
    Permission,
    condition,
    is_multikueue,
    read_time,
)
from peerkd.launch.kubernetes.lean_imports import lean_imports

with lean_imports("kubeflow", "kubeflow.training", "kubeflow.training.models"):
    from kubeflow.training.models.kubeflow_org_v1_py_torch_job import KubeflowOrgV1PyTorchJob
    from kubeflow.training.models.kubeflow_org_v1_py_torch_job_spec import KubeflowOrgV1PyTorchJobSpec
    from kubeflow.training.models.kubeflow_org_v1_replica_spec import KubeflowOrgV1ReplicaSpec
    from kubeflow.training.models.kubeflow_org_v1_run_policy import KubeflowOrgV1RunPolicy

_NAME: Final = "PyTorchJob"
_RESOURCE: Final = Resource("kubeflow.org", "v1", "pytorchjobs")
_REPLICA: Final = "Worker"


def _manifest(spec: JobSpec) -> KubeflowOrgV1PyTorchJob:
    per_worker = spec.num_processes_per_worker
    return KubeflowOrgV1PyTorchJob(
        api_version=f"{_RESOURCE.group}/{_RESOURCE.version}",
        kind=_NAME,
        metadata=spec.metadata,
        spec=KubeflowOrgV1PyTorchJobSpec(
            # No elastic policy is set, because with one the first pod that succeeds ends the others.
            nproc_per_node=None if per_worker is None else str(per_worker),
            run_policy=KubeflowOrgV1RunPolicy(
                clean_pod_policy="Running",
                suspend=True if spec.is_suspended else None,
                ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
            ),
            pytorch_replica_specs={
                _REPLICA: KubeflowOrgV1ReplicaSpec(
                    replicas=spec.num_workers,
                    # The operator replaces a pod that ends with an exit code of 128 or more, without a limit. The
                    # launcher limits the number.
                    restart_policy="ExitCode",
                    template=spec.pod_template,
                )
            },
        ),
    )


def _read_status(obj: Object) -> JobStatus:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    policy: Mapping[str, Any] = spec.get("runPolicy") or {}
    replica = (spec.get("pytorchReplicaSpecs") or {}).get(_REPLICA) or {}
    succeeded, failed = condition(obj, "Succeeded"), condition(obj, "Failed")
    started_at = read_time(status.get("startTime"))
    restarting_since = _since(condition(obj, "Restarting"))
    # The condition of an earlier start remains in the status of a job that was suspended and resumed.
    is_restarting = restarting_since and started_at and restarting_since >= started_at
    return JobStatus(
        num_workers=int(replica.get("replicas", 1)),
        is_suspended=bool(policy.get("suspend")),
        is_acknowledged=bool(status.get("conditions")),
        has_succeeded=succeeded is not None,
        has_failed=failed is not None,
        failure_message=str((failed or {}).get("message") or ""),
        started_at=started_at,
        is_running=condition(obj, "Running") is not None,
        running_since=_since(condition(obj, "Running")),
        restarting_since=restarting_since if is_restarting else None,
        # The operator sets no completion time on some failures.
        ended_at=read_time(status.get("completionTime")) or _since(succeeded or failed),
        ttl_seconds_after_finished=policy.get("ttlSecondsAfterFinished"),
        is_managed_elsewhere=is_multikueue(policy.get("managedBy")),
    )


def _since(met: Object | None) -> datetime | None:
    return read_time((met or {}).get("lastTransitionTime"))


def _worker_host(job_name: str, index: int) -> str:
    return f"{job_name}-worker-{index}"


def _event_fields(job: Job) -> tuple[Mapping[str, str], ...]:
    return ({"involvedObject.uid": job.uid},)


PYTORCHJOB: Final = JobKind(
    name=_NAME,
    resource=_RESOURCE,
    controller=Controller(title="training operator", deployment="training-operator", min_version=(1, 9)),
    manifest=_manifest,
    read_status=_read_status,
    worker_host=_worker_host,
    container="pytorch",
    job_label="training.kubeflow.org/job-name",
    index_label="training.kubeflow.org/replica-index",
    retryable_exit_codes=range(128, 256),
    pod_creation_failures=frozenset({"FailedCreatePod"}),
    permissions=(Permission(_RESOURCE, ("create", "get", "list", "watch", "patch", "delete")),),
    event_fields=_event_fields,
)
