"""The order of one stage of one run: the same command line on every backend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

POD_VARIABLE: Final = "KFP_POD_NAME"
"""The environment variable with the name of the pod, which Kubeflow Pipelines sets for every task."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOrder:
    """A stage's work, to be done somewhere so that afterwards the store has an artifact under ``key``."""

    stage: str
    """The stage's noun, as in ``distill_pairs``."""

    config_json: str
    """The whole experiment."""

    store: str
    """The store's address."""

    inputs: Mapping[str, Mapping[str, str]]
    """The artifacts that the stage reads, by name: ``key`` and ``fingerprint`` of each."""

    key: str
    """The key of the artifact that must exist afterwards."""

    num_processes: int = 1
    """Above 1: processes that train one network together, over all workers. 1: workers that share out the work."""

    def command(self) -> list[str]:
        """Return the command line of one worker; which worker it is, its environment says."""
        options = ["--config-json", self.config_json, "--store", self.store]
        for name, reference in sorted(self.inputs.items()):
            options += ["--input", f"{name}={reference['key']}@{reference['fingerprint']}"]
        return ["python", "-m", "peerkd", "stage", self.stage, *options]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobAccount:
    """What one attempt of an order held, from the start of its job to the end: what it costs follows from this."""

    name: str
    """The name of the job."""

    seconds: float
    """Time from start to end, without time in a queue."""

    num_workers: int
    gpus_per_worker: int

    queue_seconds: float = 0.0
    """Time from the job's creation to its start."""

    num_restarts: int = 0
    """Number of workers that ended without success and were created again."""

    @property
    def gpu_seconds(self) -> float:
        """GPU-seconds that nobody else could have."""
        return self.seconds * self.num_workers * self.gpus_per_worker


class Backend(Protocol):
    """Carries out orders."""

    def run(self, order: StageOrder) -> Sequence[JobAccount]:
        """Return when the order is done, with an account of each attempt that this call waited for.

        Raises:
            ValueError: If the user can fix the cause.
            PeerKDError: If it went wrong otherwise.
        """
        ...


def read_inputs(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the inputs that ``NAME=KEY@FINGERPRINT`` texts stand for, as ``StageOrder.command`` writes them.

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
