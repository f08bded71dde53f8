"""The settings of a job on a cluster: its workers, their resources, their placement and the time limits."""

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
from peerkd.excerpt import excerpt, plain

CLUSTER_FILE_VARIABLE: Final = "PEERKD_CLUSTER_FILE"
"""Variable that names a YAML file with an operator's defaults."""

CLUSTER_VARIABLE: Final = "PEERKD_CLUSTER"
"""Variable that holds the text of such a file, if none is named: pods of pipelines get variables more easily."""

SETTINGS_NAME: Final = "peerkd"
"""Name of the ConfigMap with the settings of the namespace in which pipelines run."""

SETTINGS: Final = {
    "PEERKD_S3_ENDPOINT": "PEERKD_S3_ENDPOINT",
    "PEERKD_S3_REGION": "PEERKD_S3_REGION",
    "PEERKD_TRAINER_IMAGE": "PEERKD_TRAINER_IMAGE",
    "PEERKD_PUSHGATEWAY": "PEERKD_PUSHGATEWAY",
    "cluster.yaml": CLUSTER_VARIABLE,
}
"""Keys of that ConfigMap, and the variables of a task that get their values."""

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUANTITY: Final = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {"": 1.0, "m": 1e-3} | {
    prefix + suffix: float(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kMGTPE" if not suffix else "KMGTPE", 1)
}


def _as_text(value: object) -> object:
    """Return a number as text: YAML reads ``cpu_per_worker=2`` as a number, and Kubernetes takes both."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Quantity = Annotated[str, BeforeValidator(_as_text)]
"""An amount as Kubernetes writes it: 500m, 2, 2Gi."""


def _finite(value: Any) -> Any:
    """Refuse NaN and infinity inside Any, which pydantic does not check and the JSON of the API cannot hold."""
    match value:
        case float() if not math.isfinite(value):
            raise PydanticCustomError("finite_numbers", "Value should hold finite numbers only")
        case dict():
            for inner in value.values():
                _finite(inner)
        case list():
            for inner in value:
                _finite(inner)
    return value


def _kubernetes_name(value: str) -> str:
    """Refuse what the cluster's API would refuse, after everything before the jobs is done."""
    if len(value) > 253 or not _NAME.fullmatch(value):
        raise PydanticCustomError(
            "kubernetes_name", "Value should be a name as Kubernetes writes it: of a to z, 0 to 9, '-' and '.'"
        )
    return value


KubernetesName = Annotated[str, AfterValidator(_kubernetes_name)]
"""Name of an object: a DNS subdomain (RFC 1123), as most kinds need it."""

AnyMapping = Annotated[dict[str, Any], AfterValidator(_finite)]


class ClusterConfig(StrictConfig):
    """The settings of a job's workers. They change no result, so they are not part of an experiment."""

    namespace: KubernetesName | None = None
    """Namespace of the jobs. Null: the launcher's own, or the kubeconfig's."""

    image: str | None = None
    """The trainer's image. Null: the environment's PEERKD_TRAINER_IMAGE, else the published one of this version."""

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"

    image_pull_secrets: tuple[KubernetesName, ...] = ()
    """Names of secrets for the image's registry."""

    service_account: KubernetesName = "peerkd-worker"
    """Account of the workers; its token is not mounted."""

    num_workers: int = Field(default=1, ge=1, le=10_000)
    """Pods of a job, which divide its trials among them."""

    gpus_per_worker: int = Field(default=0, ge=0, le=1_000)

    gpu_resource: str = "nvidia.com/gpu"
    """Name of the GPU resource on the cluster."""

    cpu_per_worker: Quantity = "1"
    """CPUs of a worker, as request and limit."""

    memory_per_worker: Quantity = "2Gi"
    """Memory of a worker, as request and limit: a worker that takes more is killed."""

    shared_memory: Quantity = "1Gi"
    """Largest size of /dev/shm; its content counts against memory_per_worker."""

    store_secret: str = "peerkd-store"
    """The secret with the store's access-key and secret-key. Empty: peerkd gives the workers no keys."""

    queue: KubernetesName | None = None
    """A LocalQueue of Kueue. Null: jobs start at once."""

    priority: KubernetesName | None = None
    """A WorkloadPriorityClass of Kueue."""

    priority_class: KubernetesName | None = None
    """A PriorityClass of the pods."""

    node_selector: dict[str, str] = Field(default={})
    """Labels that a worker's node must have."""

    tolerations: tuple[AnyMapping, ...] = ()
    """Tolerations of the pods, as in a pod."""

    affinity: AnyMapping | None = None
    """Affinity of the pods, as in a pod."""

    volumes: tuple[AnyMapping, ...] = ()
    """Volumes of the pods, as in a pod, beside those for /tmp and /dev/shm."""

    volume_mounts: tuple[AnyMapping, ...] = ()
    """Mounts of the worker's container, as in a container."""

    env: tuple[AnyMapping, ...] = ()
    """Variables of the worker's container, as in a container; an entry replaces peerkd's own of the same name."""

    deadline_seconds: float | None = Field(default=None, gt=0)
    """Longest time that a job may run. Time in a queue does not count. Null: no limit."""

    stall_seconds: float | None = Field(default=1800, gt=0)
    """Longest time that a running job may report no progress. Null: no limit."""

    start_seconds: float = Field(default=60, gt=0)
    """Longest time that a worker may be unable to start, for instance because its image cannot be pulled."""

    schedule_seconds: float | None = Field(default=None, gt=0)
    """Longest time that a worker may wait for a node with room. Null: no limit, since nodes may be on their way."""

    patience_seconds: float = Field(default=600, gt=0)
    """Longest time that the cluster's API may be unavailable before the launcher gives up."""

    max_restarts: int = Field(default=3, ge=0)
    """Restarts of one worker that ran out of memory, lost its store, or ended for another reason that may pass."""

    max_disruptions: int = Field(default=100, ge=0)
    """Times that the cluster may take one worker's pod away before the run is given up: by an eviction, a preemption, a
    deletion or the loss of its node. The worker has not failed then, and goes on where it was."""

    max_retries: int = Field(default=2, ge=0)
    """New jobs after one that failed as a whole, though another attempt may succeed."""

    lease_seconds: float = Field(default=60, ge=1)
    """Time without a sign of its launcher after which a job may be deleted."""

    ttl_seconds_after_finished: int = Field(default=3600, ge=0)
    """Time that an ended job is kept for inspection."""

    price_per_gpu_hour: float | None = Field(default=None, ge=0)
    """Price in any currency, with which reports give the cost of a run. Null: reports give GPU-seconds only."""

    price_per_worker_hour: float | None = Field(default=None, ge=0)
    """Price of a worker's CPUs and memory."""

    allowed: AllowedConfig = Field(default=AllowedConfig())
    """Names that a run may choose. Only an operator's settings may set this field."""

    @property
    def prices(self) -> Prices:
        """Prices of a job's workers."""
        return Prices(gpu_hour=self.price_per_gpu_hour, worker_hour=self.price_per_worker_hour)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in ("cpu_per_worker", "memory_per_worker", "shared_memory"):
            quantity = getattr(self, field)
            if not _QUANTITY.fullmatch(quantity):
                raise ValueError(
                    f"{field} must be an amount as Kubernetes writes it, as in 500m or 2Gi, got {plain(quantity)}."
                )
        if amount(self.shared_memory) > amount(self.memory_per_worker):
            raise ValueError(
                f"shared_memory must be at most memory_per_worker ({self.memory_per_worker}), since it counts against "
                f"it, got {self.shared_memory}."
            )
        for entry in self.env:
            if not all(isinstance(text, str) for text in (entry.get("name"), entry.get("value", ""))):
                raise ValueError(
                    f"env must have a name and a value that are texts, got {excerpt(entry)}: quotes make a number one."
                )
        if self.queue is None and self.priority is not None:
            raise ValueError(f"priority must come with a queue, got {plain(self.priority)}.")
        return self


def amount(quantity: str) -> float:
    """Return a quantity as a number of bytes, or of CPUs."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None
    return float(match[1]) * _FACTORS[match[2] or ""]


def resolve_cluster(
    launch: LaunchConfig | None = None,
    *,
    task_config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ClusterConfig:
    """Return the operator's settings, changed by those of a pipeline's task and then by those of a person.

    The task and the person choose no account, secret, claim, image or priority class that the operator does not allow.

    Args:
        launch: What a person chose. None: nothing.
        task_config: See ``with_task_config``.
        environment: Names the operator's file, or holds its text.

    Raises:
        ValueError: If the file cannot be read, a key is unknown, a value breaks a rule, or the operator does not
            allow it.
    """
    launch, task_config = launch or LaunchConfig(), task_config or {}
    base = _operators_defaults(environment)
    pairs = split_overrides(launch.cluster, field="cluster")
    # A worker that is the calling process is one worker.
    if launch.num_workers is not None:
        pairs.append(f"num_workers={launch.num_workers or 1}")
    # 0 is also what a pipeline says whose user chose nothing: then the author's choice for the task stands.
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
    except ValueError as error:
        # The person who starts a run has often not written these settings, and must learn where they are.
        message = str(error)
        raise ValueError(message if message.startswith(variable) else f"{variable}: {message}") from error


def with_task_config(cluster: ClusterConfig, task_config: Mapping[str, Any]) -> ClusterConfig:
    """Return the settings changed by those that a pipeline's author has set on the task; empty ones change nothing.

    Args:
        cluster: The defaults.
        task_config: ``dataclasses.asdict`` of Kubeflow's ``dsl.TaskConfig``, or an empty mapping.

    Raises:
        ValueError: If the task has a resource or a field that workers do not support.
    """
    values = cluster.model_dump(mode="json")
    given = {name: value for name, value in task_config.items() if value}
    # The launcher passes the settings of the store on to the workers in the job itself.
    given["env"] = [entry for entry in given.pop("env", ()) if not str(entry.get("name")).startswith("PEERKD_")]
    resources = given.pop("resources", {})
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    for resource, quantity in asked.items():
        field = {"cpu": "cpu_per_worker", "memory": "memory_per_worker"}.get(resource)
        if field:
            values[field] = quantity
        elif "/" in resource and str(quantity).isdecimal():
            # An accelerator's name has a domain: nvidia.com/gpu, amd.com/gpu.
            values |= {"gpu_resource": resource, "gpus_per_worker": int(quantity)}
        else:
            raise ValueError(f"resources must be cpu, memory or a number of GPUs, got {resource}={quantity}.")
    # A smaller limit on memory than our default for /dev/shm must not need a second setting.
    if "memory" in asked and _amount_or_zero(asked["memory"]) < amount(cluster.shared_memory):
        values["shared_memory"] = asked["memory"]
    for field in ("node_selector", "affinity"):
        if field in given:
            values[field] = given.pop(field)
    for field in ("tolerations", "env", "volumes", "volume_mounts"):
        values[field] = [*values[field], *given.pop(field, ())]
    if given:
        raise ValueError(f"task_config must hold no other fields, got {', '.join(given)}.")
    return ClusterConfig.from_mapping(values)


def _amount_or_zero(quantity: object) -> float:
    """Return a quantity as a number; 0 for an invalid one, which the config refuses later with its name."""
    text = str(quantity)
    return amount(text) if _QUANTITY.fullmatch(text) else 0.0
