"""The config of a whole experiment, which is the same on a laptop and on a cluster."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from peerkd.config.losses import LossConfig
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.config.sweep import SweepConfig
from peerkd.config.targets import TargetConfig, target_config
from peerkd.config.training import DistillConfig
from peerkd.config.tuning import TuneConfig
from peerkd.excerpt import plain
from peerkd.study.controls import TARGETS_WITHOUT_TEACHER
from peerkd.study.defaults import UntunedDefault
from peerkd.study.grid import Grid, allows_loss
from peerkd.study.splits import OWN_WEIGHTS
from peerkd.study.topology import check_regular
from peerkd.study.transfer_sets import TRANSFER_SETS

if TYPE_CHECKING:
    from peerkd.study.objective import Objective
    from peerkd.study.pairs import Pairs


class ExperimentConfig(PeerExperimentConfig):
    """One experiment: the data, their partition among peers, the pre-training, the distillation and the sweep."""

    distill: DistillConfig = DistillConfig()
    sweep: SweepConfig = SweepConfig()
    tune: TuneConfig = TuneConfig()

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """The values of the fields that limit the size of a batch, keyed by the name of the field."""
        return {**super().batch_sizes, "distill.batch_size": self.distill.batch_size}

    @property
    def rules_for_losses(self) -> Mapping[str, str]:
        """How an error message about a loss begins, by the name of each loss that a trial may have."""
        own = self.distill.loss.kind
        others = dict.fromkeys(self.tried_losses, "Each of sweep.losses must")
        return others | {own: "distill.loss.kind must"}

    @property
    def highest_temperature(self) -> tuple[str, float]:
        """The name of the field with the temperatures, and the highest of them."""
        return "sweep.temperatures", max(self.sweep.temperatures)

    @property
    def default_learning_rate(self) -> float | None:
        """The learning rate of the untuned default, or None if the sweep tries only ``distill.learning_rate``."""
        return self.distill.learning_rate if self.sweep.learning_rates else None

    @property
    def untuned_default(self) -> UntunedDefault:
        """The untuned default of this experiment."""
        return UntunedDefault(
            self.sweep.resolved_default_transfer_set,
            learning_rate=self.default_learning_rate,
            loss=self.distill.loss.kind if self.sweep.losses else None,
            target=self.distill.target.label if self.sweep.targets else None,
        )

    @property
    def tried_losses(self) -> Mapping[str, LossConfig]:
        """The losses of all trials, keyed by name: the loss of the untuned default, and ``sweep.losses``."""
        names = dict.fromkeys((self.distill.loss.kind, *self.sweep.losses))
        return {name: self.distill.loss_named(name) for name in names}

    @property
    def tried_targets(self) -> Mapping[str, TargetConfig]:
        """The targets of all trials, keyed by label: the target of the untuned default, and ``sweep.targets``."""
        labels = dict.fromkeys((self.distill.target.label, *self.sweep.targets))
        return {label: target_config(label) for label in labels}

    @property
    def grid(self) -> Grid:
        """The grid of values from which the trials are built."""
        default = self.untuned_default
        return Grid(
            transfer_sets=self.sweep.tried_transfer_sets,
            temperatures=self.sweep.temperatures,
            alphas=self.sweep.alphas,
            alpha_weighs=self.distill.conventions.alpha_weighs,
            learning_rates=self.sweep.learning_rates,
            default_learning_rate=default.learning_rate,
            recipe_loss=self.distill.loss.kind,
            losses=self.sweep.losses,
            default_loss=default.loss,
            targets=self.sweep.targets,
            default_target=default.target,
        )

    @property
    def num_partners(self) -> int:
        """The number of partners of each peer. Each partner is a teacher and a student of the peer."""
        return self.sweep.num_partners or self.partition.num_peers - 1

    def pairs(self, peers: Sequence[int] | None = None) -> "Pairs":
        """Return the ordered pairs that are tried.

        Args:
            peers: The peers that take part, ascending. None: all peers.
        """
        # Imported here because it needs numpy.
        from peerkd.study.pairs import pairs_of_peers

        return pairs_of_peers(
            self.partition.num_peers, num_partners=self.sweep.num_partners, seed=self.seed, peers=peers
        )

    @property
    def teachers_vary(self) -> bool:
        """Whether a teacher's logits for a training sample depend on the epoch or on the rest of the batch."""
        return self.augmentation.varies or self.distill.conventions.teacher_mode == "train"

    @property
    def num_teacher_views(self) -> int:
        """The number of times that a teacher predicts each sample of a transfer set."""
        return self.distill.epochs if self.teachers_vary else 1

    @property
    def objective(self) -> "Objective":
        """The objective of a tuned study."""
        # Imported here because it needs numpy, which is slow to import and not needed to read a config.
        from peerkd.study.objective import Objective

        return Objective(own_weight=self.resolved_own_weight, max_own_drop=self.tune.max_own_drop)

    @property
    def resolved_own_weight(self) -> float:
        """The weight of own accuracy in the objective of a tuned study."""
        own_weight = self.tune.own_weight
        return OWN_WEIGHTS[self.sweep.selection_metric] if own_weight is None else own_weight

    @model_validator(mode="after")
    def _check(self) -> Self:
        for transfer_set in self.sweep.tried_transfer_sets:
            if TRANSFER_SETS[transfer_set].needs_public_set and not self.has_public_set:
                if self.has_peer_data:
                    raise ValueError(
                        "data.source must be a data set other than those of the peers when sweep.transfer_sets "
                        f"contains {transfer_set}, got peers."
                    )
                raise ValueError(
                    f"partition.public_fraction must be above 0 when sweep.transfer_sets contains {transfer_set}, "
                    "got 0."
                )
            if not allows_loss(transfer_set, self.distill.loss.kind):
                raise ValueError(
                    f"sweep.transfer_sets must not contain {transfer_set} when distill.loss.kind is "
                    f"{self.distill.loss.kind}, which needs labels, got {plain(list(self.sweep.transfer_sets))}."
                )
        if self.sweep.num_partners is not None:
            try:
                check_regular(self.partition.num_peers, num_partners=self.sweep.num_partners)
            except ValueError as error:
                raise ValueError(f"sweep.{error}") from error
        if TARGETS_WITHOUT_TEACHER.issuperset(self.tried_targets):
            raise ValueError(
                f"sweep.targets must contain a target that a teacher takes part in when distill.target.kind is "
                f"{self.distill.target.kind}, because all trials would be controls without one, got "
                f"{plain(list(self.sweep.targets))}."
            )
        for name in self.sweep.losses:
            if not any(allows_loss(transfer_set, name) for transfer_set in self.sweep.tried_transfer_sets):
                raise ValueError(
                    f"sweep.losses must not contain {name}, which needs labels, unless a transfer set has labels for "
                    f"all samples, got transfer sets {plain(list(self.sweep.tried_transfer_sets))}."
                )
        return self
