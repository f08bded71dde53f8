"""How networks are trained: the peers, the recipe, the distillation and its conventions."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import Architecture
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.losses import AnyLoss, loss_config
from peerkd.config.strict import StrictConfig
from peerkd.losses.pairs.term import DistillationTerm, Reduction


class RecipeConfig(StrictConfig):
    """Stochastic gradient descent with momentum and a schedule."""

    epochs: int = Field(default=20, ge=1, le=1_000_000)
    """Passes over the training set."""

    batch_size: int = Field(default=32, ge=3)
    """Upper bound: an epoch is cut into batches of nearly equal size, so that none (from 3 on) has only one sample."""

    learning_rate: float = Field(default=0.05, gt=0)
    """Learning rate of the first step; the schedule lowers it."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Share of one step's velocity that lives on in the next. 0: none."""

    nesterov: bool = False
    """Look ahead along the velocity before each step."""

    weight_decay: float = Field(default=5e-4, ge=0)
    """Added to the gradient for each unit of a weight, every parameter alike. 0: none."""

    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    """cosine falls to 0 at the last step; multistep multiplies by ``decay_factor`` at each milestone."""

    milestone_fractions: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    """Shares of the training after which the rate falls, with ``schedule: multistep``."""

    decay_factor: float = Field(default=0.1, gt=0, le=1)
    """Factor of the rate at each milestone, with ``schedule: multistep``."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov must be false when momentum is 0, got true.")
        if list(self.milestone_fractions) != sorted(set(self.milestone_fractions)):
            raise ValueError(f"milestone_fractions must rise, got {list(self.milestone_fractions)}.")
        return self


class PrecisionRecipeConfig(RecipeConfig):
    """A recipe whose forward passes may be computed in fewer bits."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: matrix products and convolutions in 16 bits, weights and losses in 32; faster on GPUs and CPUs that
    have it."""


class PeersConfig(StrictConfig):
    """The networks of the peers."""

    architectures: tuple[Architecture, ...] = Field(default=("small_cnn",), min_length=1)
    """One for all peers, or one for each."""


class PretrainConfig(PrecisionRecipeConfig):
    """How each peer is trained on its own data before any distillation."""

    method: Literal["cross_entropy", "pcl"] = "cross_entropy"
    """cross_entropy: one network on the labels. pcl: branches that teach each other (Wu and Gong 2021); the peer is
    the network that PCL deploys."""

    collaboration: CollaborationConfig = CollaborationConfig()
    """How the branches of a peer's network teach each other, with ``method: pcl``."""


class ConventionsConfig(StrictConfig):
    """What a published temperature and weight leave unsaid. Printed beside every result.

    The loss of a pair is ``w * D + (1 - w) * CE``, where D is ``distill.loss``, CE is the cross entropy on the labels,
    and w is alpha, or 1 - alpha if alpha weighs the cross entropy.
    """

    reduction: Reduction = "batchmean"
    """batchmean divides D, summed over samples, by the batch size; mean also divides it by the number of classes."""

    scale_by_temperature_squared: bool = True
    """Multiply D by T^2, so that its gradients keep one magnitude (Hinton et al. 2015, section 2)."""

    teacher_mode: Literal["eval", "train"] = "eval"
    """Whether the teacher's batch normalisation uses its running statistics or the batch's."""

    alpha_weighs: Literal["distillation", "cross_entropy"] = "distillation"
    """The term that alpha multiplies."""


class DistillConfig(PrecisionRecipeConfig):
    """One round of distillation from a teacher to a student, both pre-trained. The teacher does not change."""

    epochs: int = Field(default=3, ge=1, le=1_000_000)
    """Passes over the transfer set."""

    learning_rate: float = Field(default=0.02, gt=0)
    """Learning rate of the first step; the schedule lowers it."""

    loss: AnyLoss = loss_config("kl")
    """D, the loss by which a student follows its teacher on a sample, with p = softmax(teacher logits / T) and
    q = softmax(student logits / T)."""

    conventions: ConventionsConfig = ConventionsConfig()

    @property
    def term(self) -> DistillationTerm:
        """D with its hyper-parameters and conventions, as the engines compute it."""
        return self.loss.term(
            reduction=self.conventions.reduction,
            scale_by_temperature_squared=self.conventions.scale_by_temperature_squared,
        )
