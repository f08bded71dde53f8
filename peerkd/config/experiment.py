"""The whole experiment in one config, the same on a laptop and on a cluster."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import Architecture, check_branch_point
from peerkd.config.data import AugmentationConfig, DataConfig, PartitionConfig
from peerkd.config.strict import StrictConfig
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import DistillConfig, PeersConfig, PretrainConfig
from peerkd.config.tuning import TuneConfig
from peerkd.excerpt import plain
from peerkd.study.grid import Grid
from peerkd.study.splits import OWN_WEIGHTS
from peerkd.study.transfer_sets import TRANSFER_SETS

if TYPE_CHECKING:
    from peerkd.study.objective import Objective

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$")]
"""What a job on a cluster may be called."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""32 bits, as numpy takes them."""


class ComputeConfig(StrictConfig):
    """Device and number of processes. They never change the meaning of a result, so they are in no fingerprint."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""

    num_workers: int | None = Field(default=None, ge=1, le=1_000)
    """Single-threaded worker processes. Null: one a CPU core, or one a GPU."""


class ExperimentConfig(StrictConfig):
    """One experiment: data, partition, peers, pre-training, distillation, sweep."""

    name: Name = "digits"
    """Lower-case letters, digits and hyphens, 2 to 40 of them; appears in reports and names of jobs."""

    seed: Seed = 0
    """Every random number of the experiment follows from it."""

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    partition: PartitionConfig = PartitionConfig()
    peers: PeersConfig = PeersConfig()
    pretrain: PretrainConfig = PretrainConfig()
    distill: DistillConfig = DistillConfig()
    sweep: SweepConfig = SweepConfig()
    tune: TuneConfig = TuneConfig()
    compute: ComputeConfig = ComputeConfig()

    @property
    def architectures(self) -> tuple[Architecture, ...]:
        """One architecture for each peer."""
        given = self.peers.architectures
        return given * self.partition.num_peers if len(given) == 1 else given

    @property
    def default_learning_rate(self) -> float | None:
        """The learning rate of the untuned default; None where all trials have that of the recipe."""
        return self.distill.learning_rate if self.sweep.learning_rates else None

    @property
    def grid(self) -> Grid:
        """The values that trials are made of."""
        return Grid(
            transfer_sets=self.sweep.transfer_sets,
            temperatures=self.sweep.temperatures,
            alphas=self.sweep.alphas,
            alpha_weighs=self.distill.conventions.alpha_weighs,
            learning_rates=self.sweep.learning_rates,
            default_learning_rate=self.default_learning_rate,
        )

    @property
    def teachers_vary(self) -> bool:
        """Whether what a teacher says of a training image is another thing in each epoch, or with other images."""
        return self.augmentation.varies or self.distill.conventions.teacher_mode == "train"

    @property
    def objective(self) -> "Objective":
        """The objective of a tuned study."""
        # Reading a config needs no numpy, which is slow to import.
        from peerkd.study.objective import Objective

        return Objective(own_weight=self.resolved_own_weight, max_own_drop=self.tune.max_own_drop)

    @property
    def resolved_own_weight(self) -> float:
        """What own accuracy weighs in a tuned study's objective."""
        own_weight = self.tune.own_weight
        return OWN_WEIGHTS[self.sweep.selection_metric] if own_weight is None else own_weight

    @model_validator(mode="after")
    def _check(self) -> Self:
        num_peers = self.partition.num_peers
        if len(self.peers.architectures) not in (1, num_peers):
            raise ValueError(
                f"peers.architectures must have 1 entry or one for each of the {num_peers} peers, "
                f"got {len(self.peers.architectures)}."
            )
        for transfer_set in self.sweep.transfer_sets:
            if TRANSFER_SETS[transfer_set].needs_public_set and self.partition.public_fraction == 0:
                raise ValueError(
                    f"partition.public_fraction must be above 0 when sweep.transfer_sets has {transfer_set}, got 0."
                )
            if self.distill.loss.pair_loss.needs_labels and not TRANSFER_SETS[transfer_set].uses_labels:
                raise ValueError(
                    f"sweep.transfer_sets must not have {transfer_set} when distill.loss.kind is "
                    f"{self.distill.loss.kind}, which needs labels, got {plain(list(self.sweep.transfer_sets))}."
                )
        if self.pretrain.method == "pcl":
            for architecture in self.peers.architectures:
                try:
                    check_branch_point(architecture, self.pretrain.collaboration.branch_point)
                except ValueError as error:
                    raise ValueError(f"pretrain.{error}") from error
        return self
