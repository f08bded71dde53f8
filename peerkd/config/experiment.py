"""The whole experiment in one config, the same on a laptop and on a cluster."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.data import AugmentationConfig, DataConfig, PartitionConfig
from peerkd.config.strict import StrictConfig
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import Architecture, DistillConfig, PeersConfig, PretrainConfig


class ComputeConfig(StrictConfig):
    """Where and how widely to compute. Never changes what a result means, so it is in no fingerprint."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""

    num_workers: int | None = Field(default=None, ge=1)
    """Single-threaded worker processes. Null: one a CPU core, or one a GPU."""


class ExperimentConfig(StrictConfig):
    """One experiment: data, partition, peers, pre-training, distillation, sweep."""

    name: str = Field(default="digits", pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")
    """Lower-case letters, digits and hyphens, 2 to 40 of them; appears in reports and names of jobs."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Every random number of the experiment follows from it."""

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    partition: PartitionConfig = PartitionConfig()
    peers: PeersConfig = PeersConfig()
    pretrain: PretrainConfig = PretrainConfig()
    distill: DistillConfig = DistillConfig()
    sweep: SweepConfig = SweepConfig()
    compute: ComputeConfig = ComputeConfig()

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """One architecture for each peer."""
        given = self.peers.architectures
        return given * self.partition.num_peers if len(given) == 1 else given

    @model_validator(mode="after")
    def _check(self) -> Self:
        num_peers = self.partition.num_peers
        if len(self.peers.architectures) not in (1, num_peers):
            raise ValueError(
                f"peers.architectures must have 1 entry or one for each of the {num_peers} peers, "
                f"got {len(self.peers.architectures)}."
            )
        wants_public = {"public", "public_unlabelled"} & set(self.sweep.transfer_sets)
        if wants_public and self.partition.public_fraction == 0:
            raise ValueError(
                f"partition.public_fraction must be above 0 when sweep.transfer_sets has {min(wants_public)}, got 0."
            )
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of an experiment, for editors and for people who read schemas."""
    return ExperimentConfig.model_json_schema()
