"""The order for one stage of one run: the same command line on every backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

POD_VARIABLE: Final = "KFP_POD_NAME"
"""The environment variable with the name of the pod, which Kubeflow Pipelines sets for every task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOrder:
    """The description of a stage's work. When the work is done, the store has an artifact under ``key``."""

    stage: str
    """The name of the stage, such as ``distill_pairs``."""

    config_json: str
    """The whole experiment as JSON."""

    store: str
    """The address of the store."""

    inputs: Mapping[str, Mapping[str, str]]
    """The input artifacts by name, each with ``key`` and ``fingerprint``."""

    key: str
    """The key of the artifact that must exist when the work is done."""

    num_processes: int = 1
    """The number of processes that train one network together, counted over all workers.

    If it is 1, no network is trained by several processes, and each worker does its own part of the stage's work."""

    def command(self) -> list[str]:
        """Return the command line, which is the same for all workers: the environment tells each worker its index."""
        options = ["--config-json", self.config_json, "--store", self.store]
        for name, reference in sorted(self.inputs.items()):
            options += ["--input", f"{name}={reference['key']}@{reference['fingerprint']}"]
        return ["python", "-m", "peerkd", "stage", self.stage, *options]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobAccount:
    """The resources that one attempt at an order occupied, from which its cost is computed."""

    name: str
    """The name of the job that carried out the order."""

    seconds: float
    """The seconds from the start of the job to its end. Time in a queue does not count."""

    num_workers: int

    gpus_per_worker: float
    """The mean number of GPUs of a worker. It need not be a whole number, because the workers on one machine share its
    GPUs."""

    queue_seconds: float = 0.0
    """The seconds from the creation of the job to its start."""

    num_restarts: int = 0
    """The number of times that failed workers were created again."""

    @property
    def gpu_seconds(self) -> float:
        """The occupied GPU-seconds, whether the GPUs were busy or not."""
        return self.seconds * self.num_workers * self.gpus_per_worker


class Backend(Protocol):
    """A service that carries out orders."""

    def run(self, order: StageOrder) -> Sequence[JobAccount]:
        """Wait until the order is done, and return an account of each attempt during this call.

        Raises:
            ValueError: If the user can fix the cause of a failure.
            PeerKDError: If the order fails for another reason.
        """
        ...


def read_inputs(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Parse inputs of the form ``NAME=KEY@FINGERPRINT``, as ``StageOrder.command`` writes them.

    Raises:
        ValueError: If a text has another form, or a name comes twice.
    """
    inputs: dict[str, dict[str, str]] = {}
    for text in texts:
        name, _, reference = text.partition("=")
        key, _, fingerprint = reference.rpartition("@")
        if not (name and key and fingerprint):
            raise ValueError(f"input must have the form NAME=KEY@FINGERPRINT, got {text}.")
        if name in inputs:
            raise ValueError(f"input must name {name} once, got it twice.")
        inputs[name] = {"key": key, "fingerprint": fingerprint}
    return inputs
