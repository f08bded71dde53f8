"""The interface of a kind of training job: everything that differs between a PyTorchJob and other kinds.

The launcher, the reaper, ``peerkd doctor`` and the dry run work with any kind. They contain no constant that belongs to
one kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from peerkd.launch.kubernetes.client import Resource

Object = Mapping[str, Any]
"""An object of the Kubernetes API, as its JSON."""


class Permission(NamedTuple):
    """The verbs that a Role must allow on one resource or subresource."""

    resource: Resource
    verbs: tuple[str, ...]
    subresource: str = ""

    @property
    def name(self) -> str:
        """The name of the resource as a Role contains it, such as ``pods`` or ``pods/log``."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


class Controller(NamedTuple):
    """The controller that creates the pods of a kind of job."""

    title: str
    """The name of the controller in messages, such as "training operator"."""

    deployment: str
    min_version: tuple[int, int]


class Prerequisite(NamedTuple):
    """An object that must exist before a job is created, and that is deleted with the job."""

    resource: Resource
    manifest: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class JobSpec:
    """The desired job, in terms that all kinds share."""

    metadata: Any
    """The job's V1ObjectMeta: name, labels and annotations."""

    pod_template: Any
    """The V1PodTemplateSpec of all pods."""

    num_workers: int
    num_processes_per_worker: int | None
    """The number of processes of each pod, if the pods train one network together; else None."""

    is_suspended: bool
    """Whether the job is created suspended, so that a queue decides when it starts."""

    ttl_seconds_after_finished: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStatus:
    """The observed state of a job, in terms that all kinds share."""

    num_workers: int
    is_suspended: bool
    is_acknowledged: bool
    """Whether the controller has noticed the job; always True for a kind whose controller does not report this."""

    has_succeeded: bool
    has_failed: bool
    failure_message: str
    """The controller's reason for the failure; empty if it gives none."""

    started_at: datetime | None
    """The time of the last start. A job that was suspended and resumed started when it was resumed."""

    is_running: bool
    """Whether the controller reports that the job runs."""

    running_since: datetime | None
    """The time at which the job began to run; None if the job is not running, or if its controller does not report this
    time."""

    restarting_since: datetime | None
    """The time at which the controller began to replace failed pods; None if it has not, or if the job runs again."""

    ended_at: datetime | None
    ttl_seconds_after_finished: int | None

    is_managed_elsewhere: bool = False
    """Whether MultiKueue sends the job to another cluster, so that its pods do not run in this one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobKind:
    """Everything that the launcher, the reaper and doctor need to know about one kind of job."""

    name: str
    """The value of ``kind`` in manifests, such as ``PyTorchJob``."""

    resource: Resource
    controller: Controller

    manifest: Callable[[JobSpec], Any]
    """A function that returns the manifest of a job, as a typed model of a client package."""

    read_status: Callable[[Object], JobStatus]
    """A function that returns the status of a job, given the job's object. Optional fields may be missing in the
    object."""

    worker_host: Callable[[str, int], str]
    """A function that returns the host name of a pod from the job's name and the pod's index."""

    container: str
    """The name of the container that runs the training."""

    job_label: str
    """The key of the pod label that contains the job's name."""

    index_label: str
    """The key of the pod label that contains the index of the worker."""

    restart_label: str = ""
    """The key of the pod label that contains how often all workers of the job have been restarted together. Empty: the
    controller restarts no worker because of another one."""

    retryable_exit_codes: range
    """Exit codes after which a pod is replaced. Any other code above 0 fails the job."""

    pod_creation_failures: frozenset[str]
    """The values that ``reason`` has in an event if the controller could not create a pod of the job."""

    permissions: tuple[Permission, ...]
    """The permissions on jobs of this kind that a launcher needs. Permissions on pods and events are not included."""

    event_fields: Callable[["Job"], tuple[Mapping[str, str], ...]]
    """A function that returns, given a job, field selectors for the events about the job itself. They match no event
    about its pods."""

    propagation_policy: Literal["Foreground", "Background"] = "Foreground"
    """The propagation policy with which a job is deleted before it is created again.

    If it is ``Background``, a deletion in the foreground would do harm. After a deletion in the background, the
    launcher waits for the pods before it creates a job of the same name."""

    max_name_length: int = 50
    """The maximum length of a job's name. A longer name would make the names of its pods too long."""

    prerequisites: Callable[[JobSpec], tuple[Prerequisite, ...]] = lambda _: ()
    """A function that returns, given the desired job, the objects that must be created before the job, in this order.
    An object of the same name that exists already is used as it is, so the name should contain a hash of the
    contents."""

    prerequisite_resources: tuple[Resource, ...] = ()
    """The resources of prerequisites that the reaper deletes if their job does not exist. The name of such a
    prerequisite begins with the name of its job and a hyphen."""

    missing_prerequisite: str = ""
    """Words in the message with which the cluster refuses a job whose prerequisites do not exist. A dry run creates no
    prerequisites, so these words show that the cluster has no other objection to the job. Empty: the cluster does not
    refuse such a job."""

    keeps_failed_pods: bool = False
    """Whether a pod that has failed still exists after the controller has replaced it. If not, the pod is deleted
    before its successor is created."""

    has_strict_fields: bool = False
    """Whether the cluster refuses a job with a field that it does not know. If not, it drops the field."""

    dependents: tuple[Resource, ...] = ()
    """The resources of objects that the controller creates under the job's name, and whose status it copies to the job.
    After a deletion in the background they exist for longer than the job, and would give their status to a new job."""

    def read(self, obj: Object) -> "Job":
        """Return a job of this kind from its object."""
        metadata = obj["metadata"]
        created_at = read_time(metadata.get("creationTimestamp"))
        return Job(
            kind=self,
            name=str(metadata["name"]),
            uid=str(metadata["uid"]),
            labels=metadata.get("labels") or {},
            annotations=metadata.get("annotations") or {},
            owner_references=tuple(metadata.get("ownerReferences") or ()),
            created_at=created_at,
            is_being_deleted=bool(metadata.get("deletionTimestamp")),
            status=self.read_status(obj),
        )

    def pod_labels(self, job_name: str) -> dict[str, str]:
        """Return the labels that select the pods of a job."""
        return {self.job_label: job_name}

    def worker_index(self, pod: Object) -> int:
        """Return the index of the worker that runs in a pod."""
        return int((pod["metadata"].get("labels") or {}).get(self.index_label, 0))

    def num_restarts_before(self, pod: Object) -> int:
        """Return how often all workers had been restarted together when a pod was created."""
        return int((pod["metadata"].get("labels") or {}).get(self.restart_label, 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job as it was last observed."""

    kind: JobKind
    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_references: tuple[Object, ...]
    created_at: datetime | None
    is_being_deleted: bool
    status: JobStatus

    @property
    def has_ended(self) -> bool:
        """Whether the job has succeeded or failed."""
        return self.status.has_succeeded or self.status.has_failed


def is_multikueue(managed_by: object) -> bool:
    """Return whether the value of a job's field ``managedBy`` is that of MultiKueue."""
    return managed_by == "kueue.x-k8s.io/multikueue"


def uid_of(obj: Object) -> str:
    """Return the UID of an object."""
    return str(obj["metadata"]["uid"])


def name_of(obj: Object) -> str:
    """Return the name in the metadata of an object."""
    return str(obj["metadata"]["name"])


def condition(obj: Object, kind: str) -> Object | None:
    """Return the condition of type ``kind`` in an object's status if it is True; None if it is False or missing."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind and each.get("status") == "True"), None)


def read_time(text: str | None) -> datetime | None:
    """Parse a time in the format of the Kubernetes API. Return None if the text is None or empty."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
