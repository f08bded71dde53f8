"""The workers of a job on a cluster: how many, with what, where, and how long they are waited for."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from peerkd.config.allowed import AllowedConfig, check_allowed
from peerkd.config.pipelines import Pipeline
from peerkd.config.prices import Prices
from peerkd.config.resolve import load_file, load_text, override, split_overrides
from peerkd.config.strict import StrictConfig
from peerkd.excerpt import excerpt, plain

CLUSTER_FILE_VARIABLE: Final = "PEERKD_CLUSTER_FILE"
"""Names a YAML file with an operator's defaults."""

CLUSTER_VARIABLE: Final = "PEERKD_CLUSTER"
"""Holds such a file's text, where no file is named: a pipeline's pod is more easily given a variable than a file."""

SETTINGS_NAME: Final = "peerkd"
"""The ConfigMap of the namespace in which runs of pipelines take place."""

SETTINGS: Final = {
    "PEERKD_S3_ENDPOINT": "PEERKD_S3_ENDPOINT",
    "PEERKD_S3_REGION": "PEERKD_S3_REGION",
    "PEERKD_TRAINER_IMAGE": "PEERKD_TRAINER_IMAGE",
    "PEERKD_PUSHGATEWAY": "PEERKD_PUSHGATEWAY",
    "cluster.yaml": CLUSTER_VARIABLE,
}
"""Its keys, and the variables of a task that they become."""

_QUANTITY: Final = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i)?")
_FACTORS: Final = {"": 1.0, "m": 1e-3} | {
    prefix + suffix: float(base**power)
    for suffix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kMGTPE" if not suffix else "KMGTPE", 1)
}


def _as_text(value: object) -> object:
    """YAML reads ``cpu_per_worker=2`` as a number; to Kubernetes it is the same as the text."""
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Quantity = Annotated[str, BeforeValidator(_as_text)]
"""An amount as Kubernetes writes it: 500m, 2, 2Gi."""


def _finite(value: Any) -> Any:
    """Refuse what pydantic passes over inside of Any: JSON, which the API of a cluster takes, has no such number."""
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


AnyMapping = Annotated[dict[str, Any], AfterValidator(_finite)]


class ClusterConfig(StrictConfig):
    """What a job's workers are given. It changes nothing of a result, so it is no part of an experiment."""

    namespace: str | None = None
    """Where jobs are made. Null: the launcher's own, or the kubeconfig's."""

    image: str | None = None
    """The trainer's image. Null: the environment's PEERKD_TRAINER_IMAGE, else the published one of this version."""

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"

    image_pull_secrets: tuple[str, ...] = ()
    """Names of secrets for the image's registry."""

    service_account: str = "peerkd-worker"
    """Of the workers; its token is not mounted."""

    num_workers: int = Field(default=1, ge=1, le=10_000)
    """Pods of a job. Trials are shared out among them."""

    gpus_per_worker: int = Field(default=0, ge=0, le=1_000)

    gpu_resource: str = "nvidia.com/gpu"
    """What the cluster calls a GPU."""

    cpu_per_worker: Quantity = "1"
    """Requested, and the limit."""

    memory_per_worker: Quantity = "2Gi"
    """Requested, and the limit: a worker that takes more is killed."""

    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm at most; what is in it counts against memory_per_worker."""

    store_secret: str = "peerkd-store"
    """The secret with the store's access-key and secret-key. Empty: the workers have no keys from us."""

    queue: str | None = None
    """A LocalQueue of Kueue. Null: jobs start at once."""

    priority: str | None = None
    """A WorkloadPriorityClass of Kueue."""

    priority_class: str | None = None
    """A PriorityClass of the pods."""

    node_selector: dict[str, str] = Field(default={})
    """Labels that a worker's node must have."""

    tolerations: tuple[AnyMapping, ...] = ()
    """As in a pod."""

    affinity: AnyMapping | None = None
    """As in a pod."""

    volumes: tuple[AnyMapping, ...] = ()
    """As in a pod, beside those for /tmp and /dev/shm."""

    volume_mounts: tuple[AnyMapping, ...] = ()
    """As in a container."""

    env: tuple[AnyMapping, ...] = ()
    """As in a container; an entry replaces ours of the same name."""

    deadline_seconds: float | None = Field(default=None, gt=0)
    """Longest time that a job may run. Time in a queue does not count. Null: none."""

    stall_seconds: float | None = Field(default=1800, gt=0)
    """How long a running job may say nothing of its progress. Null: for ever."""

    start_seconds: float = Field(default=60, gt=0)
    """How long a worker may be unable to start, for instance without its image, before the job is given up."""

    schedule_seconds: float | None = Field(default=None, gt=0)
    """How long a worker may wait for a node that has room. Null: for ever, since nodes may be on their way."""

    patience_seconds: float = Field(default=600, gt=0)
    """How long the cluster's API may be away before the launcher gives up."""

    max_restarts: int = Field(default=3, ge=0)
    """Of one worker that ran out of memory, lost its store, or ended for another reason that may pass."""

    max_disruptions: int = Field(default=100, ge=0)
    """Times that the cluster may take one worker's pod away before the run is given up: by an eviction, a preemption, a
    deletion or the loss of its node. The worker has not failed then, and goes on where it was."""

    max_retries: int = Field(default=2, ge=0)
    """New jobs after one that failed as a whole, though another attempt may succeed."""

    lease_seconds: float = Field(default=60, ge=1)
    """A job whose launcher has not been heard of for so long may be deleted."""

    ttl_seconds_after_finished: int = Field(default=3600, ge=0)
    """How long an ended job is kept to be looked at."""

    price_per_gpu_hour: float | None = Field(default=None, ge=0)
    """In any currency; reports tell what a run cost. Null: they tell GPU-seconds alone."""

    price_per_worker_hour: float | None = Field(default=None, ge=0)
    """Of a worker's CPUs and memory."""

    allowed: AllowedConfig = Field(default=AllowedConfig())
    """Names that a run may choose. Only an operator's settings hold it."""

    @property
    def prices(self) -> Prices:
        """What a job's workers cost."""
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


def check_placement(backend: str, *, gpus: str, cluster: str) -> None:
    """Do nothing if what is asked of a job's pods is asked of a backend that has pods.

    Args:
        backend: ``local``, ``kubernetes`` or ``auto``.
        gpus: As for ``resolve_cluster``.
        cluster: Its ``text``.

    Raises:
        ValueError: If the backend is local, where the options would have no effect.
    """
    if backend != "local":
        return
    if gpus not in ("", "0"):
        raise ValueError(
            f"gpus must be given with the backend kubernetes, got {plain(gpus)} with local: on one machine "
            "compute.device says whether GPUs are used."
        )
    if cluster.strip():
        raise ValueError(
            f"cluster must be given with the backend kubernetes, got {plain(cluster)} with local, which makes no jobs."
        )


def amount(quantity: str) -> float:
    """Return how much a quantity is: bytes, or whole CPUs."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None
    return float(match[1]) * _FACTORS[match[2] or ""]


def resolve_cluster(
    text: str = "",
    *,
    num_workers: str = "",
    gpus: str = "",
    file: Path | None = None,
    task_config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> ClusterConfig:
    """Return the cluster that an operator's file describes, then a pipeline's task, then what a person types.

    The task and the person choose no account, secret, claim, image or priority class that the file does not allow.

    Args:
        text: ``key=value`` pairs parted by white space, as in ``queue=research memory_per_worker=8Gi``.
        num_workers: A whole number as text, or empty. Pipelines drop numbers silently.
        gpus: GPUs of each worker: a whole number as text, or empty.
        file: YAML, or None.
        task_config: See ``with_task_config``.
        environment: Where the file's text is looked for if there is no file.

    Raises:
        ValueError: If the file cannot be read, a key is unknown, a value breaks a rule, or the operator does not
            allow it.
    """
    base = _operators_defaults(file, environment.get(CLUSTER_VARIABLE, ""))
    pairs = split_overrides(text)
    for field, parameter, given in (("num_workers", "num_workers", num_workers), ("gpus_per_worker", "gpus", gpus)):
        if given:
            # Not what isdecimal takes for digits, and no more of them than a message shows.
            if not re.fullmatch(r"[0-9]{1,18}", given):
                raise ValueError(f"{parameter} must be a whole number, got {plain(given)}.")
            pairs.append(f"{field}={int(given)}")
    chosen = override(with_task_config(base, task_config or {}), pairs)
    check_allowed(base.model_dump(), chosen.model_dump())
    return chosen


def _operators_defaults(file: Path | None, text: str) -> ClusterConfig:
    form = Pipeline("cluster", ClusterConfig, {})
    variable = CLUSTER_FILE_VARIABLE if file else CLUSTER_VARIABLE
    try:
        if file:
            return load_file(form, file, field=variable)
        return load_text(form, text, field=variable, source=plain(text)) if text.strip() else ClusterConfig()
    except ValueError as error:
        # Whoever starts a run has often not written these settings, and must be told where they are.
        message = str(error)
        raise ValueError(message if message.startswith(variable) else f"{variable}: {message}") from error


def with_task_config(cluster: ClusterConfig, task_config: Mapping[str, Any]) -> ClusterConfig:
    """Return the cluster with what a pipeline's author has set on the task; what is empty there changes nothing.

    Args:
        cluster: The defaults.
        task_config: ``dataclasses.asdict`` of Kubeflow's ``dsl.TaskConfig``, or an empty mapping.

    Raises:
        ValueError: If the task has a resource or a field that no worker can be given.
    """
    values = cluster.model_dump(mode="json")
    given = {name: value for name, value in task_config.items() if value}
    # What a pipeline tells its launcher of the store reaches the workers by way of the job itself.
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
    if "memory" in asked and amount_or_zero(asked["memory"]) < amount(cluster.shared_memory):
        values["shared_memory"] = asked["memory"]
    for field in ("node_selector", "affinity"):
        if field in given:
            values[field] = given.pop(field)
    for field in ("tolerations", "env", "volumes", "volume_mounts"):
        values[field] = [*values[field], *given.pop(field, ())]
    if given:
        raise ValueError(f"task_config must hold no other fields, got {', '.join(given)}.")
    return ClusterConfig.from_mapping(values)


def amount_or_zero(quantity: object) -> float:
    """Return how much a quantity is; 0 for what is none, which the config then refuses by name."""
    text = str(quantity)
    return amount(text) if _QUANTITY.fullmatch(text) else 0.0
