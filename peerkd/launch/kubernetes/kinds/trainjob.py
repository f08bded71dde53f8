"""TrainJobs of Kubeflow Trainer 2.3.

Most fields of a pod cannot be set in a TrainJob, so each job has a TrainingRuntime of its own, which contains the whole
pod template. The Trainer creates a JobSet from both, the JobSet creates one indexed Job, and the Job creates the pods.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from peerkd.launch.kubernetes import names
from peerkd.launch.kubernetes.client import Resource
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
    is_multikueue,
    read_time,
)
from peerkd.launch.kubernetes.lean_imports import lean_imports

with lean_imports("kubernetes", "kubernetes.client", "kubernetes.client.models"):
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.models.v1_job_spec import V1JobSpec
    from kubernetes.client.models.v1_job_template_spec import V1JobTemplateSpec
    from kubernetes.client.models.v1_object_meta import V1ObjectMeta
    from kubernetes.client.models.v1_pod_failure_policy import V1PodFailurePolicy
    from kubernetes.client.models.v1_pod_failure_policy_on_exit_codes_requirement import (
        V1PodFailurePolicyOnExitCodesRequirement,
    )
    from kubernetes.client.models.v1_pod_failure_policy_on_pod_conditions_pattern import (
        V1PodFailurePolicyOnPodConditionsPattern,
    )
    from kubernetes.client.models.v1_pod_failure_policy_rule import V1PodFailurePolicyRule

_NAME: Final = "TrainJob"
_RESOURCE: Final = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs")
_RUNTIMES: Final = Resource("trainer.kubeflow.org", "v1alpha1", "trainingruntimes")
_JOB_SETS: Final = Resource("jobset.x-k8s.io", "v1alpha2", "jobsets")
_API: Final = f"{_RESOURCE.group}/{_RESOURCE.version}"
_NODE: Final = "node"
"""The name that the Trainer requires for the replicated job and for its container."""

_STEP_LABEL: Final = {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
_FRAMEWORK_LABEL: Final = {"trainer.kubeflow.org/framework": "torch"}
"""The label without which the SDK of Kubeflow refuses a runtime, and thereby fails to list the TrainJobs of a
namespace."""

_RETRYABLE_EXIT_CODES: Final = range(128, 256)
_RESTART: Final = "RestartJobSetAndIgnoreMaxRestarts"
_RESTARTS_OF_ALL_WORKERS: Final = {
    "maxRestarts": 0,
    # The first rule that matches decides. A pattern is searched for in the message with which the Job has failed.
    "rules": [
        {
            "name": "disrupted",
            "action": _RESTART,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": ["has condition DisruptionTarget"],
        },
        {
            "name": "retryable",
            # JobSet does not count these restarts. The launcher limits their number.
            "action": _RESTART,
            "onJobFailureReasons": ["PodFailurePolicy"],
            "onJobFailureMessagePatterns": ["failed with exit code (12[89]|1[3-9][0-9]|2[0-9][0-9]) "],
        },
        {"name": "others", "action": "FailJobSet"},
    ],
}
"""The failurePolicy of a JobSet whose workers are restarted together."""


def _manifest(spec: JobSpec) -> dict[str, Any]:
    metadata = spec.metadata
    ttl_seconds = spec.ttl_seconds_after_finished
    kept = {} if ttl_seconds is None else {names.ANNOTATION_TTL_SECONDS: str(ttl_seconds)}
    job = {
        "runtimeRef": {
            "apiGroup": _RUNTIMES.group,
            "kind": "TrainingRuntime",
            "name": _runtime(spec)["metadata"]["name"],
        },
        "trainer": {
            "numNodes": spec.num_workers,
            # Without this number, the Trainer derives it from the CPUs.
            "numProcPerNode": spec.num_processes_per_worker or 1,
            # Kueue 0.19 ignores the resources in the runtime if the job has any itself.
            "resourcesPerNode": spec.pod_template.spec.containers[0].resources,
        },
    }
    return {
        "apiVersion": _API,
        "kind": _NAME,
        "metadata": {
            "name": metadata.name,
            "labels": dict(metadata.labels),
            "annotations": {**metadata.annotations, **kept},
        },
        "spec": job | ({"suspend": True} if spec.is_suspended else {}),
    }


def _prerequisites(spec: JobSpec) -> tuple[Prerequisite, ...]:
    return (Prerequisite(_RUNTIMES, _runtime(spec)),)


def _runtime(spec: JobSpec) -> dict[str, Any]:
    """Return the TrainingRuntime of a job. Its name contains a hash of its contents."""
    serialize = ApiClient().sanitize_for_serialization
    template = serialize(spec.pod_template)
    template["spec"]["restartPolicy"] = "Never"
    labels = template["metadata"]["labels"]
    are_restarted_together = spec.num_workers == 1 or spec.num_processes_per_worker is not None
    job = V1JobTemplateSpec(
        metadata=V1ObjectMeta(labels=_STEP_LABEL),
        spec=V1JobSpec(
            backoff_limit=0,
            pod_failure_policy=V1PodFailurePolicy(rules=_rules(fail_at_once=are_restarted_together)),
            template=template,
        ),
    )
    # No ttlSecondsAfterFinished is set: the Trainer 2.3 creates the JobSet of a failed TrainJob again if the JobSet is
    # deleted, and thereby starts the training again. The reaper deletes the TrainJob instead.
    job_set: dict[str, Any] = {"replicatedJobs": [{"name": _NODE, "replicas": 1, "template": serialize(job)}]}
    if are_restarted_together:
        job_set["failurePolicy"] = _RESTARTS_OF_ALL_WORKERS
    contents = {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {"metadata": {"labels": labels}, "spec": job_set},
    }
    return {
        "apiVersion": _API,
        "kind": "TrainingRuntime",
        "metadata": {
            "name": f"{spec.metadata.name}-{names.spec_hash(contents)}",
            "labels": labels | _FRAMEWORK_LABEL,
        },
        "spec": contents,
    }


def _rules(*, fail_at_once: bool) -> list[V1PodFailurePolicyRule]:
    """Return the rules for failed pods of the Job. The first rule that matches a pod decides.

    Args:
        fail_at_once: Whether each failure fails the Job, so that the rules of the JobSet decide whether all workers are
            restarted. If not, the Job replaces a pod that was disrupted or has ended with a retryable exit code, and
            other workers continue.
    """
    disrupted = [V1PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")]
    rules = [V1PodFailurePolicyRule(action="FailJob" if fail_at_once else "Ignore", on_pod_conditions=disrupted)]
    if not fail_at_once:
        rules.append(V1PodFailurePolicyRule(action="Ignore", on_exit_codes=_codes("In", list(_RETRYABLE_EXIT_CODES))))
    return [*rules, V1PodFailurePolicyRule(action="FailJob", on_exit_codes=_codes("NotIn", [0]))]


def _codes(operator: str, values: list[int]) -> V1PodFailurePolicyOnExitCodesRequirement:
    return V1PodFailurePolicyOnExitCodesRequirement(container_name=_NODE, operator=operator, values=values)


def _read_status(obj: Object) -> JobStatus:
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    succeeded, failed = condition(obj, "Complete"), condition(obj, "Failed")
    is_suspended = bool(spec.get("suspend"))
    jobs: list[Mapping[str, Any]] = status.get("jobsStatus") or []
    # The counters keep their last values if the job ends, and count Jobs instead of pods.
    is_running = not is_suspended and not (succeeded or failed) and any(each.get("ready") for each in jobs)
    started_at = None if is_suspended else _resumed_at(status) or read_time(metadata.get("creationTimestamp"))
    ttl_seconds = (metadata.get("annotations") or {}).get(names.ANNOTATION_TTL_SECONDS, "")
    return JobStatus(
        num_workers=int((spec.get("trainer") or {}).get("numNodes", 1)),
        is_suspended=is_suspended,
        is_acknowledged=bool(status.get("conditions") or jobs),
        has_succeeded=succeeded is not None,
        has_failed=failed is not None,
        failure_message=str((failed or {}).get("message") or ""),
        started_at=started_at,
        is_running=is_running,
        # The job may have waited for nodes after its start, and only its pods show when they began to run.
        running_since=None,
        # Kueue itself requeues a TrainJob whose pods are no longer ready.
        restarting_since=None,
        ended_at=read_time((succeeded or failed or {}).get("lastTransitionTime")),
        ttl_seconds_after_finished=int(ttl_seconds) if ttl_seconds.isdecimal() else None,
        is_managed_elsewhere=is_multikueue(spec.get("managedBy")),
    )


def _resumed_at(status: Object) -> datetime | None:
    """Return the time at which a job was resumed, or None if it has never been suspended."""
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    resumed = (each for each in conditions if each.get("type") == "Suspended" and each.get("status") == "False")
    return read_time(next(resumed, {}).get("lastTransitionTime"))


def _worker_host(job_name: str, index: int) -> str:
    return f"{job_name}-{_NODE}-0-{index}.{job_name}"


def _event_fields(job: Job) -> tuple[Mapping[str, str], ...]:
    # The TrainJob and its JobSet have the same name. Events of the Job tell why pods cannot be created.
    return ({"involvedObject.name": job.name}, {"involvedObject.name": f"{job.name}-{_NODE}-0"})


TRAINJOB: Final = JobKind(
    name=_NAME,
    resource=_RESOURCE,
    controller=Controller(title="Trainer", deployment="kubeflow-trainer-controller-manager", min_version=(2, 3)),
    manifest=_manifest,
    read_status=_read_status,
    worker_host=_worker_host,
    container=_NODE,
    job_label="jobset.sigs.k8s.io/jobset-name",
    index_label="batch.kubernetes.io/job-completion-index",
    restart_label="jobset.sigs.k8s.io/restart-attempt",
    retryable_exit_codes=_RETRYABLE_EXIT_CODES,
    pod_creation_failures=frozenset({"FailedCreate", "JobCreationFailed", "TrainJobResourcesCreationFailed"}),
    permissions=(
        Permission(_RESOURCE, ("create", "get", "list", "watch", "patch", "delete")),
        Permission(_RUNTIMES, ("create", "patch", "delete")),
        Permission(_JOB_SETS, ("get",)),
    ),
    event_fields=_event_fields,
    # After a deletion in the foreground, the Trainer creates the JobSet, and so the pods, again and again.
    propagation_policy="Background",
    # The names of pods are longer by "-node-0-", the index of the worker (at most 4 digits) and 6 random characters.
    max_name_length=45,
    prerequisites=_prerequisites,
    prerequisite_resources=(_RUNTIMES,),
    missing_prerequisite="specified trainingRuntime must be created before the TrainJob is created",
    # A Job never deletes its pods while it exists.
    keeps_failed_pods=True,
    has_strict_fields=True,
    dependents=(_JOB_SETS,),
)
