"""The config of training: the networks of the peers, the recipe, the distillation and its conventions."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from peerkd.config.architectures import Architecture
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.given_peers import GivenPeerConfig, PublishedKey, check_given_peers
from peerkd.config.losses import AnyLoss, LossConfig, loss_config
from peerkd.config.strict import StrictConfig
from peerkd.config.targets import TargetConfig, target_config
from peerkd.losses.pairs.term import DistillationTerm, Reduction


class RecipeConfig(StrictConfig):
    """Stochastic gradient descent with momentum and a schedule."""

    epochs: int = Field(default=20, ge=1, le=1_000_000)
    """The number of passes over the training set."""

    batch_size: int = Field(default=32, ge=3)
    """The largest number of samples in a batch. An epoch is cut into batches of nearly equal size, so that no batch has
    only one sample, for which batch normalisation is not defined."""

    learning_rate: float = Field(default=0.05, gt=0)
    """The learning rate of the first step. The schedule lowers it."""

    momentum: float = Field(default=0.9, ge=0, lt=1)
    """The coefficient of momentum. 0: no momentum."""

    nesterov: bool = False
    """Whether to use Nesterov momentum."""

    weight_decay: float = Field(default=5e-4, ge=0)
    """The coefficient of the L2 penalty, which applies to all parameters. 0: no penalty."""

    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    """The schedule of the learning rate. cosine: it falls to 0 at the last step. multistep: it is multiplied by
    ``decay_factor`` at each milestone."""

    milestone_fractions: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.5, 0.75)
    """The milestones of ``schedule: multistep``, as fractions of the training."""

    decay_factor: float = Field(default=0.1, gt=0, le=1)
    """The factor by which ``schedule: multistep`` multiplies the learning rate at each milestone."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov must be false when momentum is 0, got true.")
        if list(self.milestone_fractions) != sorted(set(self.milestone_fractions)):
            raise ValueError(f"milestone_fractions must be in ascending order, got {list(self.milestone_fractions)}.")
        return self


class PrecisionRecipeConfig(RecipeConfig):
    """A recipe with a choice of the numerical precision."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """The precision of the forward and backward passes. bfloat16: matrix products and convolutions use 16 bits, weights
    and losses 32 bits; this is faster on GPUs and CPUs that support bfloat16."""


class PeersConfig(StrictConfig):
    """The networks of the peers."""

    architectures: tuple[Architecture, ...] = Field(default=("small_cnn",), min_length=1)
    """The architecture of the peers: one entry for all peers, or one entry for each peer. It has no effect if ``given``
    is set."""

    given: tuple[GivenPeerConfig, ...] = ()
    """The peers that you bring, each with its own network and, if you have them, trained weights. Peers without weights
    are pre-trained. ``partition.num_peers`` is the number of entries. Empty: the peers have the networks of
    ``architectures``."""

    from_: PublishedKey | None = Field(default=None, alias="from")
    """The key of the peers that an earlier run has published in the same store, ``pretrain_peers/...``,
    ``improve_peers/...`` or ``collaborate_peers/...``. The study starts from their weights and trains no peer
    beforehand; weights of ``given`` have no effect. Networks, data set and partition must be those of the earlier run.
    Null: peers are pre-trained or given."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_given_peers(self.given)
        return self


class PretrainConfig(PrecisionRecipeConfig):
    """The training of each peer on its own data before any distillation."""

    method: Literal["cross_entropy", "pcl"] = "cross_entropy"
    """The training method. cross_entropy: one network learns from the labels. pcl: the branches of a network teach each
    other (Wu and Gong 2021), and the peer is the network that PCL deploys."""

    collaboration: CollaborationConfig = CollaborationConfig()
    """The options of ``method: pcl``."""


class ConventionsConfig(StrictConfig):
    """The conventions of the loss of a pair, which T and alpha alone do not specify. Every report shows them.

    The loss of a pair is ``w * D + (1 - w) * CE``, where D is the divergence that the field ``loss`` selects, CE is the
    cross entropy on the labels, and w is alpha, or 1 - alpha if alpha weighs the cross entropy.
    """

    reduction: Reduction = "batchmean"
    """The reduction of D over a batch. batchmean: the sum over samples is divided by the batch size. mean: it is also
    divided by the number of classes."""

    scale_by_temperature_squared: bool = True
    """Whether D is multiplied by T^2, which makes the magnitude of its gradients nearly independent of T (Hinton et al.
    2015, section 2)."""

    teacher_mode: Literal["eval", "train"] = "eval"
    """The mode of the teacher's batch normalisation. eval: it uses the running statistics. train: it uses the
    statistics of the batch."""

    alpha_weighs: Literal["distillation", "cross_entropy"] = "distillation"
    """The term of the loss whose weight is alpha. The other term has the weight 1 - alpha."""


class DistillConfig(PrecisionRecipeConfig):
    """The distillation from a pre-trained teacher to a pre-trained student. The teacher does not change."""

    epochs: int = Field(default=3, ge=1, le=1_000_000)
    """The number of passes over the transfer set."""

    learning_rate: float = Field(default=0.02, gt=0)
    """The learning rate of the first step. The schedule lowers it."""

    loss: AnyLoss = loss_config("kl")
    """The loss D of one sample. It compares two softened distributions: p = softmax(teacher logits / T) of the teacher,
    and q = softmax(student logits / T) of the student."""

    target: TargetConfig = TargetConfig()
    """The target, which is p in the formulas of the losses."""

    conventions: ConventionsConfig = ConventionsConfig()

    def loss_named(self, name: str | None) -> LossConfig:
        """Return the loss with which a setting is trained.

        Args:
            name: The name of the setting's loss. None: the loss in the field ``loss``. If the name is the kind of
                ``loss``, the hyper-parameters have the values in ``loss``; the hyper-parameters of any other loss have
                their defaults.
        """
        return self.loss if name is None or name == self.loss.kind else loss_config(name)

    def target_labelled(self, label: str | None) -> TargetConfig:
        """Return the target with which a setting is trained.

        Args:
            label: The label of the setting's target. None: the target of this section.
        """
        return self.target if label is None else target_config(label)

    def changed(self, *, loss: str | None = None, target: str | None = None) -> Self:
        """Return this config with the loss and the target of a setting. None leaves the present one unchanged."""
        return self.model_copy(update={"loss": self.loss_named(loss), "target": self.target_labelled(target)})

    @property
    def loss_record(self) -> dict[str, dict[str, Any]]:
        """The loss with its hyper-parameters, the target and the conventions, as JSON values."""
        names = ("loss", "target", "conventions")
        return {name: getattr(self, name).model_dump() for name in names}

    @property
    def term(self) -> DistillationTerm:
        """The loss D with its hyper-parameters and conventions, as training computes it."""
        return self.loss.term(
            reduction=self.conventions.reduction,
            scale_by_temperature_squared=self.conventions.scale_by_temperature_squared,
        )
