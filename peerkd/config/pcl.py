"""The config of a study of PCL and other methods of online distillation: architectures x methods x seeds."""

from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import ARCHITECTURE_FACTS, Architecture, check_branch_point
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.data import AugmentationConfig, DataConfig
from peerkd.config.methods import Method
from peerkd.config.peer_experiment import ComputeConfig, Name, Seed
from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.config.training import PrecisionRecipeConfig


class OnlineRecipeConfig(PrecisionRecipeConfig):
    """The optimiser and its schedule, which all methods share. The defaults are those of the published tables."""

    epochs: int = Field(default=300, ge=1, le=1_000_000)
    """The number of passes over the training set. If you lower it, lower ``collaboration.rampup_epochs`` too."""

    batch_size: int = Field(default=128, ge=3)
    """The largest number of samples in a batch. An epoch is cut into batches of nearly equal size. Views do not count:
    a sample with three views is one sample. Several processes divide a batch among themselves."""

    learning_rate: float = Field(default=0.1, gt=0)
    """The learning rate of the first step. The schedule lowers it."""

    nesterov: bool = True
    """Whether to use Nesterov momentum."""

    schedule: Literal["constant", "cosine", "multistep"] = "multistep"
    """The schedule of the learning rate. cosine: it falls to 0 at the last step. multistep: it is multiplied by
    ``decay_factor`` at each milestone."""

    num_processes: int = Field(default=1, ge=1, le=1_000)
    """The number of processes that divide each batch of a run among themselves, one for each GPU if there are GPUs. It
    is part of the recipe because, unless ``synchronise_batch_norm`` is set, each process normalises its own part of the
    batch separately."""

    synchronise_batch_norm: bool = False
    """Whether batch normalisation uses the whole batch when several processes divide it. This is slower, and normalises
    as a single process does."""

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.synchronise_batch_norm and self.num_processes == 1:
            raise ValueError("synchronise_batch_norm must be false when num_processes is 1, got true.")
        return self


class EvaluationConfig(StrictConfig):
    """The evaluation during training, and the method with which the others are compared."""

    every_epochs: int = Field(default=1, ge=1)
    """The number of epochs from one evaluation to the next. The last epoch, which gives the results, is always
    evaluated."""

    baseline: Method | None = None
    """The method with which all others are compared, seed by seed. Null: the first of ``methods``."""


class PclComputeConfig(ComputeConfig):
    """The device, the number of processes and the checkpoints. They are not part of an artifact's key."""

    checkpoint_steps: int = Field(default=2000, ge=1)
    """The number of steps from one checkpoint to the next within an epoch. A checkpoint is also saved after each epoch.
    A run that is killed repeats at most this many steps."""


class Run(NamedTuple):
    """One training run of a study: which architecture is trained by which method with which seed."""

    architecture: Architecture
    method: Method
    seed: int


class PclConfig(StrictConfig):
    """One study: every method trains every architecture with every seed, on the same data and with the same recipe."""

    name: Name = "digits"
    """The name of the study in reports and in the names of jobs: 2 to 40 lower-case letters, digits and hyphens."""

    seed: Seed = 0
    """The first seed. The split of the data is derived from it for all runs, so runs differ only in the training."""

    num_seeds: int = Field(default=5, ge=1, le=10_000)
    """The number of runs of each architecture and method, with consecutive seeds from ``seed`` on. Several seeds are
    needed to distinguish a difference between methods from chance."""

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()

    architectures: tuple[Architecture, ...] = Field(default=("small_cnn",), min_length=1)
    """The networks, each of which is trained separately."""

    methods: tuple[Method, ...] = Field(default=("plain", "multi_view", "ema", "dml", "one", "pcl"), min_length=1)
    """The training methods, which docs/methods.md describes. plain, multi_view and ema are controls, which train on the
    labels alone: plain with one view of each sample, multi_view with as many views as PCL uses, and ema with the moving
    average that PCL uses."""

    collaboration: CollaborationConfig = CollaborationConfig()
    training: OnlineRecipeConfig = OnlineRecipeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: PclComputeConfig = PclComputeConfig()

    @property
    def baseline(self) -> Method:
        """The method with which all others are compared."""
        return self.evaluation.baseline or self.methods[0]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, ordered by seed, so that an interrupted study has complete comparisons for its first seeds."""
        return tuple(
            Run(architecture, method, seed)
            for seed in range(self.seed, self.seed + self.num_seeds)
            for architecture in self.architectures
            for method in self.methods
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.source == "peers":
            raise ValueError("data.source must be one data set, because a study of methods has no peers, got peers.")
        refuse_repeats("architectures", self.architectures)
        refuse_repeats("methods", self.methods)
        if self.seed + self.num_seeds >= 2**32:
            raise ValueError(f"seed + num_seeds must be below {2**32}, got {self.seed} + {self.num_seeds}.")
        if self.baseline not in self.methods:
            raise ValueError(f"evaluation.baseline must be one of methods {list(self.methods)}, got {self.baseline}.")
        for architecture in self.architectures:
            check_branch_point(architecture, self.collaboration.branch_point)
            if "ffl_s" in self.methods and not ARCHITECTURE_FACTS[architecture].has_maps:
                raise ValueError(
                    f"architectures must all have feature maps when methods contains ffl_s, which fuses them, "
                    f"got {architecture}."
                )
        if "okddip" in self.methods and self.collaboration.num_branches < 3:
            raise ValueError(
                "collaboration.num_branches must be at least 3 when methods contains okddip, whose last branch is a "
                f"leader, got {self.collaboration.num_branches}."
            )
        return self
