"""A study of PCL and its rivals in one config: architectures x methods x seeds."""

from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import ARCHITECTURE_FACTS, Architecture, check_branch_point
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.data import AugmentationConfig, DataConfig
from peerkd.config.experiment import ComputeConfig, Name, Seed
from peerkd.config.methods import Method
from peerkd.config.strict import StrictConfig, refuse_repeats
from peerkd.config.training import PrecisionRecipeConfig


class OnlineRecipeConfig(PrecisionRecipeConfig):
    """The optimiser and its schedule, the same for all methods. The defaults are those of the published tables."""

    epochs: int = Field(default=300, ge=1, le=1_000_000)
    """Passes over the training set. If you lower them, lower ``collaboration.rampup_epochs`` too."""

    batch_size: int = Field(default=128, ge=3)
    """Upper bound on the samples of a step, each of them once a view: an epoch is cut into batches of nearly equal
    size. Several processes share a batch."""

    learning_rate: float = Field(default=0.1, gt=0)
    """Learning rate of the first step; the schedule lowers it."""

    nesterov: bool = True
    """Look ahead along the velocity before each step."""

    schedule: Literal["constant", "cosine", "multistep"] = "multistep"
    """cosine falls to 0 at the last step; multistep multiplies by ``decay_factor`` at each milestone."""

    num_processes: int = Field(default=1, ge=1, le=1_000)
    """Processes, one a GPU where there are GPUs, that share each batch of a run. It is part of the recipe because
    batch normalisation sees the share of its process."""

    synchronise_batch_norm: bool = False
    """Normalise by the whole batch when several processes share it: slower, and as one process would."""

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if self.synchronise_batch_norm and self.num_processes == 1:
            raise ValueError("synchronise_batch_norm must be false when num_processes is 1, got true.")
        return self


class EvaluationConfig(StrictConfig):
    """What is measured on validation and test data while networks train, and what methods are compared with."""

    every_epochs: int = Field(default=1, ge=1)
    """Epochs from one evaluation to the next. The last epoch, on which results rest, is always evaluated."""

    baseline: Method | None = None
    """The method that all others are compared with, seed by seed. Null: the first of ``methods``."""


class PclComputeConfig(ComputeConfig):
    """Device and number of processes. They never change the meaning of a result, so they are in no fingerprint."""

    checkpoint_steps: int = Field(default=2000, ge=1)
    """Steps from one checkpoint within an epoch to the next; there is one after each epoch, too. What a run that is
    killed has to repeat."""


class Run(NamedTuple):
    """One training."""

    architecture: Architecture
    method: Method
    seed: int


class PclConfig(StrictConfig):
    """One study: every method trains every architecture from every seed, on the same data and by the same recipe."""

    name: Name = "digits"
    """Lower-case letters, digits and hyphens, 2 to 40 of them; appears in reports and names of jobs."""

    seed: Seed = 0
    """The first seed. The split of the data follows from it for all runs, so that seeds differ in the training only."""

    num_seeds: int = Field(default=5, ge=1, le=10_000)
    """Trainings of each architecture by each method, from ``seed`` upwards. One seed tells no difference from luck."""

    data: DataConfig = DataConfig()
    augmentation: AugmentationConfig = AugmentationConfig()

    architectures: tuple[Architecture, ...] = Field(default=("small_cnn",), min_length=1)
    """The networks that are trained, each apart from the others."""

    methods: tuple[Method, ...] = Field(default=("plain", "multi_view", "ema", "dml", "one", "pcl"), min_length=1)
    """What they are trained by. plain, multi_view and ema are controls: the labels alone, with as many views of each
    sample as PCL has, and with PCL's mean over time."""

    collaboration: CollaborationConfig = CollaborationConfig()
    training: OnlineRecipeConfig = OnlineRecipeConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    compute: PclComputeConfig = PclComputeConfig()

    @property
    def baseline(self) -> Method:
        """The method that all others are compared with."""
        return self.evaluation.baseline or self.methods[0]

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every training, seed by seed: a study that is interrupted has compared all methods on its first seeds."""
        return tuple(
            Run(architecture, method, seed)
            for seed in range(self.seed, self.seed + self.num_seeds)
            for architecture in self.architectures
            for method in self.methods
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
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
                    f"architectures must all have feature maps when methods has ffl_s, which fuses them, "
                    f"got {architecture}."
                )
        if "okddip" in self.methods and self.collaboration.num_branches < 3:
            raise ValueError(
                "collaboration.num_branches must be at least 3 when methods has okddip, whose last branch is a leader, "
                f"got {self.collaboration.num_branches}."
            )
        return self
