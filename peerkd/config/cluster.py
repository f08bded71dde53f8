"""The settings of a job on a cluster: the number of workers, their resources and placement, and the time limits."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from peerkd.config.allowed import AllowedConfig, check_allowed
from peerkd.config.launch import LaunchConfig
from peerkd.config.pipelines import Pipeline
from peerkd.config.prices import Prices
from peerkd.config.resolve import load_file, load_text, override, split_overrides
from peerkd.config.strict import StrictConfig
from peerkd.config.topology import TopologyConfig
from peerkd.config.violations import ConfigError
from peerkd.excerpt import excerpt, plain

CLUSTER_FILE_VARIABLE: Final = "PEERKD_CLUSTER_FILE"
"""The environment variable with the path of a YAML file that contains the operator's settings."""

CLUSTER_VARIABLE: Final = "PEERKD_CLUSTER"
"""The environment variable with the operator's settings themselves, as YAML. It is read only if
``CLUSTER_FILE_VARIABLE`` is not set. The pods of pipelines get the operator's settings by this variable."""

SETTINGS_NAME: Final = "peerkd"
"""The name of the ConfigMap that contains the operator's settings, in each namespace in which pipelines run."""

SETTINGS: Final = {
    "PEERKD_S3_ENDPOINT": "PEERKD_S3_ENDPOINT",
    "PEERKD_S3_REGION": "PEERKD_S3_REGION",
    "PEERKD_TRAINER_IMAGE": "PEERKD_TRAINER_IMAGE",
    "PEERKD_PUSHGATEWAY": "PEERKD_PUSHGATEWAY",
    "cluster.yaml": CLUSTER_VARIABLE,
}
"""The keys of the ConfigMap ``SETTINGS_NAME``. Each key is followed by the environment variable in which the tasks of a
pipeline find the value of the key."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUANTITY: Final = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {"": 1.0, "m": 1e-3} | {
    prefix + suffix: float(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kMGTPE" if not suffix else "KMGTPE", 1)
}


def _as_text(value: object) -> object:
    """Return a number as text, and any other value unchanged.

    YAML reads the 2 of ``cpu_per_worker=2`` as a number, but the quantities of a config are text.
    """
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Quantity = Annotated[str, BeforeValidator(_as_text)]
"""A quantity in the notation of Kubernetes, such as 500m, 2 or 2Gi."""


def _finite(value: Any) -> Any:
    """Return a value unchanged, and refuse NaN and infinity, which the cluster's API cannot represent.

    pydantic itself does not look for these numbers in values of the type ``Any``. A refused value raises an error of
    pydantic.
    """
    match value:
        case float() if not math.isfinite(value):
            raise PydanticCustomError("finite_numbers", "Value should contain finite numbers only")
        case dict():
            for inner in value.values():
                _finite(inner)
        case list():
            for inner in value:
                _finite(inner)
    return value


def is_kubernetes_name(value: str) -> bool:
    """Return whether a Kubernetes object can have a name: a DNS subdomain (RFC 1123), which most kinds require."""
    return len(value) <= 253 and _NAME.fullmatch(value) is not None


def _kubernetes_name(value: str) -> str:
    """Return a name unchanged, and refuse it if no Kubernetes object can have it.

    Without this check, the cluster's API would refuse the name only when the job is created, after earlier stages have
    run. A refused name raises an error of pydantic.
    """
    if not is_kubernetes_name(value):
        raise PydanticCustomError(
            "kubernetes_name", "Value should be a Kubernetes name made of a to z, 0 to 9, '-' and '.'"
        )
    return value


KubernetesName = Annotated[str, AfterValidator(_kubernetes_name)]
"""The name of a Kubernetes object: a DNS subdomain (RFC 1123), which most kinds require."""

AnyMapping = Annotated[dict[str, Any], AfterValidator(_finite)]


class ClusterConfig(StrictConfig):
    """The settings of a job and its workers. They change no result, so they are not part of an experiment."""

    namespace: KubernetesName | None = None
    """The namespace of the jobs. Null: the namespace of the launcher's pod or, outside a cluster, the namespace in the
    kubeconfig."""

    job_kind: Literal["auto", "pytorchjob", "trainjob"] = "auto"
    """The kind of the jobs. auto: PyTorchJobs if the cluster has them, else TrainJobs."""

    image: str | None = None
    """The image of the workers. Null: the image that the variable PEERKD_TRAINER_IMAGE names, or else the published
    image of this version."""

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """The imagePullPolicy of the workers' container."""

    image_pull_secrets: tuple[KubernetesName, ...] = ()
    """The names of secrets for the image registry."""

    service_account: KubernetesName = "peerkd-worker"
    """The service account of the workers. Its token is not mounted."""

    num_workers: int = Field(default=1, ge=1, le=10_000)
    """The number of workers of a job. Each worker is a pod and does a share of the trials."""

    gpus_per_worker: int = Field(default=0, ge=0, le=1_000)
    """The number of GPUs of each worker."""

    gpu_resource: str = "nvidia.com/gpu"
    """The name under which the cluster offers its GPUs, such as ``amd.com/gpu``."""

    cpu_per_worker: Quantity = "1"
    """The CPUs of each worker, as both request and limit."""

    memory_per_worker: Quantity = "2Gi"
    """The memory of each worker, as both request and limit. A worker that uses more is killed."""

    shared_memory: Quantity = "1Gi"
    """The size limit of /dev/shm. Its contents count towards memory_per_worker."""

    extra_resources: dict[str, Quantity] = Field(default={})
    """Further resources of each worker, as both request and limit, such as ``rdma/hca: 1`` for InfiniBand."""

    store_secret: str = "peerkd-store"
    """The secret with the entries access-key and secret-key of the store. Empty: peerkd passes no keys to the
    workers."""

    queue: KubernetesName | None = None
    """The Kueue LocalQueue in which jobs wait. Null: jobs start immediately."""

    priority: KubernetesName | None = None
    """The Kueue WorkloadPriorityClass of the jobs, which requires a queue."""

    topology: TopologyConfig | None = None
    """How close to each other the workers run, which requires a queue. Null: Kueue places the workers in pools without
    a topology, unless all pools of the queue have one."""

    priority_class: KubernetesName | None = None
    """The PriorityClass of the workers' pods."""

    node_selector: dict[str, str] = Field(default={})
    """The labels that a node must have to run a worker."""

    tolerations: tuple[AnyMapping, ...] = ()
    """The tolerations of the workers' pods, written as in a pod spec."""

    affinity: AnyMapping | None = None
    """The affinity of the workers' pods, written as in a pod spec."""

    volumes: tuple[AnyMapping, ...] = ()
    """The volumes of the workers' pods in addition to /tmp and /dev/shm, written as in a pod spec."""

    volume_mounts: tuple[AnyMapping, ...] = ()
    """The volume mounts of the workers' container, written as in a pod spec."""

    env: tuple[AnyMapping, ...] = ()
    """The environment variables of the workers' container, written as in a pod spec. An entry replaces a variable of
    the same name that peerkd sets itself."""

    deadline_seconds: float | None = Field(default=None, gt=0)
    """The longest time that a job may run. Time in a queue does not count. Null: no limit."""

    stall_seconds: float | None = Field(default=1800, gt=0)
    """The longest time that a running job may report no progress. Null: no limit."""

    start_seconds: float = Field(default=60, gt=0)
    """The longest time that a worker may be unable to start, for instance because its image cannot be pulled."""

    schedule_seconds: float | None = Field(default=None, gt=0)
    """The longest time that a worker may wait for a node. Null: no limit, because an autoscaler may be adding nodes."""

    patience_seconds: float = Field(default=600, gt=0)
    """The longest time that the cluster's API may be unavailable before the launcher gives up."""

    max_restarts: int = Field(default=3, ge=0)
    """The number of restarts of one worker that ran out of memory, lost its connection to the store, or failed for
    another reason that may not recur."""

    max_disruptions: int = Field(default=100, ge=0)
    """The number of times that the cluster may remove one worker's pod before the run is given up: by an eviction, a
    preemption, a deletion or the loss of its node. Such a worker has not failed, and continues where it stopped."""

    max_retries: int = Field(default=2, ge=0)
    """The number of new jobs that are created after a job has failed for a reason that may not recur."""

    lease_seconds: float = Field(default=60, ge=1)
    """The time after which a job may be deleted if its launcher has not renewed the job's lease."""

    ttl_seconds_after_finished: int = Field(default=3600, ge=0)
    """The time for which a finished job is kept for inspection."""

    price_per_gpu_hour: float | None = Field(default=None, ge=0)
    """The price of one GPU for an hour, in any currency. Reports use it to compute the cost of a run. Null: the time of
    GPUs is reported, but not included in the cost."""

    price_per_worker_hour: float | None = Field(default=None, ge=0)
    """The price of one worker's CPUs and memory for an hour. Null: the time of workers is reported, but not included in
    the cost."""

    allowed: AllowedConfig = Field(default=AllowedConfig())
    """The names that a run may choose. Only the operator's settings can set this field."""

    @property
    def prices(self) -> Prices:
        """The prices of a job's workers."""
        return Prices(gpu_hour=self.price_per_gpu_hour, worker_hour=self.price_per_worker_hour)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in ("cpu_per_worker", "memory_per_worker", "shared_memory"):
            quantity = getattr(self, field)
            if not _QUANTITY.fullmatch(quantity):
                raise ValueError(f"{field} must be a Kubernetes quantity, such as 500m or 2Gi, got {plain(quantity)}.")
        for resource, quantity in self.extra_resources.items():
            if resource in ("cpu", "memory", self.gpu_resource):
                raise ValueError(
                    f"extra_resources must not contain {plain(resource)}, which has a setting of its own, got "
                    f"{plain(quantity)}."
                )
            if not _QUANTITY.fullmatch(quantity):
                raise ValueError(
                    f"extra_resources must have Kubernetes quantities, such as 1, got {plain(quantity)} for "
                    f"{plain(resource)}."
                )
        if amount(self.shared_memory) > amount(self.memory_per_worker):
            raise ValueError(
                f"shared_memory must be at most memory_per_worker ({self.memory_per_worker}), because it counts "
                f"towards it, got {self.shared_memory}."
            )
        for entry in self.env:
            if not all(isinstance(text, str) for text in (entry.get("name"), entry.get("value", ""))):
                raise ValueError(
                    f"env must have a name and a value that are strings, got {excerpt(entry)}: put numbers in quotes."
                )
        if self.queue is None and self.priority is not None:
            raise ValueError(f"priority must be null unless queue is set, got {plain(self.priority)}.")
        if self.queue is None and self.topology is not None:
            # Only Kueue reads the annotation of the pods.
            raise ValueError(f"topology must be null unless queue is set, got the level {self.topology.level}.")
        return self


def amount(quantity: str) -> float:
    """Return a valid quantity as a number, of bytes or of CPUs."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None
    return float(match[1]) * _FACTORS[match[2] or ""]


def resolve_cluster(
    launch: LaunchConfig | None = None,
    *,
    task_config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ClusterConfig:
    """Return the settings of a job: the operator's settings with the choices of a run.

    A pipeline's task overrides the operator's settings, and the person who starts the run overrides both. Neither can
    choose an account, secret, claim, image or priority class that the operator does not allow.

    Args:
        launch: The choices of the person who starts the run. None: no choices.
        task_config: The settings of the pipeline's task, as ``dataclasses.asdict`` of Kubeflow's ``dsl.TaskConfig``.
            None: no settings.
        environment: The environment variables, which name the operator's file or contain its text.

    Raises:
        ValueError: If the operator's file cannot be read, a key is unknown, a value breaks a rule, or the operator does
            not allow a name that the run has chosen.
    """
    launch, task_config = launch or LaunchConfig(), task_config or {}
    base = _operators_defaults(environment)
    pairs = split_overrides(launch.cluster, field="cluster")
    # 0 means the calling process, which counts as one worker.
    if launch.num_workers is not None:
        pairs.append(f"num_workers={launch.num_workers or 1}")
    # A pipeline also passes 0 if its user chose nothing. The choice of the task's author then remains.
    if launch.gpus or (launch.gpus == 0 and not task_config.get("resources")):
        pairs.append(f"gpus_per_worker={launch.gpus}")
    chosen = override(with_task_config(base, task_config), pairs)
    check_allowed(base.model_dump(), chosen.model_dump())
    return chosen


def _operators_defaults(environment: Mapping[str, str]) -> ClusterConfig:
    form = Pipeline("cluster", ClusterConfig, {})
    file, text = environment.get(CLUSTER_FILE_VARIABLE), environment.get(CLUSTER_VARIABLE, "")
    variable = CLUSTER_FILE_VARIABLE if file else CLUSTER_VARIABLE
    try:
        if file:
            return load_file(form, Path(file), field=variable)
        return load_text(form, text, field=variable, source=plain(text)) if text.strip() else ClusterConfig()
    except ConfigError as error:
        raise ConfigError([rule.within(variable) for rule in error.broken]) from error
    except ValueError as error:
        # The person who starts a run has often not written these settings, so the message must name their place.
        message = str(error)
        raise ValueError(message if message.startswith(variable) else f"{variable}: {message}") from error


def with_task_config(cluster: ClusterConfig, task_config: Mapping[str, Any]) -> ClusterConfig:
    """Return the settings of a job after one task of a pipeline has overridden some of them.

    A setting that is empty in the task overrides nothing.

    Args:
        cluster: The settings before the task overrides any.
        task_config: ``dataclasses.asdict`` of Kubeflow's ``dsl.TaskConfig``, or an empty mapping.

    Raises:
        ValueError: If the task sets a resource or a field that workers do not support.
    """
    values = cluster.model_dump(mode="json")
    given = {name: value for name, value in task_config.items() if value}
    # The launcher passes the settings of the store to the workers itself.
    given["env"] = [entry for entry in given.pop("env", ()) if not str(entry.get("name")).startswith("PEERKD_")]
    resources = given.pop("resources", {})
    requested = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    for resource, quantity in requested.items():
        field = {"cpu": "cpu_per_worker", "memory": "memory_per_worker"}.get(resource)
        if field:
            values[field] = quantity
        elif "/" in resource and str(quantity).isdecimal():
            # An accelerator's name has a domain: nvidia.com/gpu, amd.com/gpu.
            values |= {"gpu_resource": resource, "gpus_per_worker": int(quantity)}
        else:
            raise ValueError(f"resources must be cpu, memory or a number of GPUs, got {resource}={quantity}.")
    # A limit on memory that is smaller than the default for /dev/shm must not require a second setting.
    if "memory" in requested and _amount_or_zero(requested["memory"]) < amount(cluster.shared_memory):
        values["shared_memory"] = requested["memory"]
    for field in ("node_selector", "affinity"):
        if field in given:
            values[field] = given.pop(field)
    for field in ("tolerations", "env", "volumes", "volume_mounts"):
        # The operator may have mounted the same claim.
        values[field] += [entry for entry in given.pop(field, ()) if entry not in values[field]]
    if given:
        raise ValueError(f"task_config must contain no other fields, got {', '.join(given)}.")
    return ClusterConfig.from_mapping(values)


def _amount_or_zero(quantity: object) -> float:
    """Return a quantity as a number, or 0 if it is invalid. The config refuses an invalid quantity later."""
    text = str(quantity)
    return amount(text) if _QUANTITY.fullmatch(text) else 0.0
