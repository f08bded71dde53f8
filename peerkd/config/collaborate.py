"""The config of rounds: peers that train, exchange what they learned, and train again."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from peerkd.config.losses import LossConfig
from peerkd.config.peer_experiment import ComputeConfig, PeerExperimentConfig
from peerkd.config.round_partners import CompleteTopology, Topology, check_topology, max_num_partners
from peerkd.config.round_tuning import RoundSetting, RoundsTuneConfig
from peerkd.config.strict import refuse_repeats
from peerkd.config.targets import TargetConfig
from peerkd.config.training import DistillConfig
from peerkd.config.unreliable import UnreliableConfig
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.targets import PAIR_TARGETS, class_counts
from peerkd.rounds import ROUND_METHODS
from peerkd.rounds.method import RoundMethod

if TYPE_CHECKING:
    RoundMethodName: TypeAlias = str
else:
    RoundMethodName = Literal[tuple(ROUND_METHODS)]

_METHODS_IN_WORDS: Final = " ".join(f"{name}: {method.title}." for name, method in ROUND_METHODS.items())


class RoundsConfig(DistillConfig):
    """The rounds: their number, who exchanges what with whom, and the training of each peer in a round.

    The optimiser and the schedule apply to each training in a round: every training begins with zero momentum and at
    the initial learning rate.
    """

    num_rounds: int = Field(default=10, ge=1, le=100_000)
    """The number of rounds."""

    methods: tuple[RoundMethodName, ...] = Field(
        default=("fedavg", "alone"),
        min_length=1,
        description="The methods, all of which start from the same peers. In a round, a peer that trains on its own "
        "samples takes the same batches in the same order with every method except pooled, whose batches mix the "
        f"samples of all peers. The networks of the first method are published. {_METHODS_IN_WORDS}",
    )

    topology: Topology = CompleteTopology()
    """Which peers are partners of each other."""

    epochs: int = Field(default=3, ge=1, le=1_000_000)
    """The number of epochs of each training in a round. If each step takes samples of both the peer's own set and the
    public set, an epoch is one pass over the set that has more batches."""

    temperature: float = Field(default=1.0, gt=0)
    """The temperature T in the loss of the methods ``predictions`` and ``pairwise``. The logits of the target and of
    the student are divided by T."""

    alpha: float = Field(default=0.9, ge=0, le=1)
    """The weight alpha in the loss of the method ``predictions``. It weighs the divergence, unless
    ``conventions.alpha_weighs`` names the cross entropy."""

    pairwise_alpha: float = Field(default=0.5, ge=0, le=1)
    """The weight alpha in the loss of the method ``pairwise``. A single random teacher is worth less than all peers
    together, so a large weight costs accuracy."""

    rampup_rounds: int = Field(default=0, ge=0)
    """The number of rounds before the divergence has its whole weight. In the first rounds, peers know little and can
    teach little. In round r of the ramp-up, counted from 1, the weight of the divergence is multiplied by r /
    (rampup_rounds + 1). 0: no ramp-up."""

    target: TargetConfig = TargetConfig(kind=class_counts.TARGET.name, prior_adjusted=True)
    """The target of the method ``predictions``. Where the texts on targets speak of the teacher and the old self, this
    target joins the predictions of a peer and all of its partners. The kinds teacher and student are refused, because
    they are made for pairs."""

    distribution_alignment: bool = True
    """A defence of the method ``predictions`` against peers that always predict the same. Before predictions are
    joined, the predictions of each peer are divided by their mean over the public set, and renormalised. A prediction
    that does not depend on the sample then says nothing. The classes of the public set are taken to be equally
    frequent: if they are not, set this to false."""

    trimmed_fraction: float = Field(default=0.2, ge=0, lt=0.5)
    """A defence of the method ``predictions`` against peers that lie: the target is a trimmed mean. For each sample and
    class, the lowest and the highest predictions are left out, up to this fraction of the sum of all weights at either
    end. Peers with at most this share of the weights in a class cannot move the target of this class outside the range
    of the other peers' predictions. 0: no prediction is left out."""

    sharpening_temperature: float = Field(default=0.5, gt=0, le=1)
    """The temperature by which the method ``predictions`` sharpens its target: the logarithm of the joined prediction
    is divided by it, and the result is renormalised (Berthelot et al. 2019, arXiv:1905.02249, section 3.2). A mean of
    predictions that disagree is vague, and networks that imitate it become vaguer from round to round. 1: the target is
    not sharpened."""

    max_own_drop: float | None = Field(default=None, ge=0, le=1)
    """The limit, as a fraction, on how far the accuracy of a peer may fall below its accuracy before the first round,
    on the peer's own validation samples. If the weights that a round proposes would exceed this limit, the peer rejects
    them and keeps its network unchanged in this round. Null: the peer accepts all proposed weights that are finite. The
    limit does not apply to the method pooled, which is an upper bound."""

    proximal_weight: float = Field(default=0.01, gt=0)
    """The weight mu of the proximal term of the method fedprox."""

    reduction_temperature: float = Field(default=0.1, gt=0)
    """The temperature with which the method ds_fl reduces the entropy of the mean prediction. The lower it is, the
    sharper the prediction becomes."""

    confidence_threshold: float = Field(default=0.98, ge=0, lt=1)
    """The threshold of the method idkd. The method uses a prediction of a public sample only if the largest probability
    of the prediction is above the threshold."""

    cycle_rounds: int = Field(default=5, ge=2)
    """The number of rounds of a cycle of the method dfml. In each cycle, the weight of the divergence rises from 0 in
    the first round to 1 in the last."""

    tune: RoundsTuneConfig = RoundsTuneConfig()

    unreliable: tuple[UnreliableConfig, ...] = ()
    """The peers that leave, come back or lie in some rounds, to measure the harm that they do to the others. A peer can
    lie only about predictions, so a lying peer excludes methods that send anything else. An absent peer excludes the
    method pooled. Empty: all peers are reliable."""

    def absent_peers(self, round: int) -> frozenset[int]:
        """Return the peers that take no part in a round. Rounds are counted from 1."""
        return frozenset(each.peer for each in self.unreliable if not each.is_lie and each.is_in(round))

    def lies(self, round: int) -> dict[int, UnreliableConfig]:
        """Return how each lying peer lies in a round, by peer. Rounds are counted from 1.

        If several entries of ``unreliable`` describe lies of a peer in this round, the last one counts.
        """
        return {each.peer: each for each in self.unreliable if each.is_lie and each.is_in(round)}

    @property
    def round_methods(self) -> tuple[RoundMethod, ...]:
        """The registered methods that the field ``methods`` names, in this order."""
        return tuple(ROUND_METHODS[name] for name in self.methods)

    def distillation_weight(self, round: int, *, alpha: float) -> float:
        """Return the weight of the divergence in a round, given the alpha of a method. Rounds are counted from 1."""
        whole = alpha if self.conventions.alpha_weighs == "distillation" else 1 - alpha
        return whole * min(1.0, round / (self.rampup_rounds + 1))

    def with_setting(self, setting: RoundSetting) -> Self:
        """Return this config with the values of a setting of ``tune.portfolio``, except the partners left out."""
        values = setting.model_dump(exclude={"num_left_out"}, exclude_none=True)
        return self.model_copy(update=values)

    def mutual_weight(self, round: int) -> float:
        """Return the weight of the divergence of the method dfml in a round. Rounds are counted from 1.

        The weight is ``(1 - cos(pi x)) / 2``, where x goes from 0 to 1 within a cycle.
        """
        progress = (round - 1) % self.cycle_rounds / (self.cycle_rounds - 1)
        return (1 - math.cos(math.pi * progress)) / 2

    @model_validator(mode="after")
    def _check_rounds(self) -> Self:
        refuse_repeats("methods", self.methods)
        if not PAIR_TARGETS[self.target.kind].joins_any_number:
            kinds = ", ".join(name for name, each in PAIR_TARGETS.items() if each.joins_any_number)
            raise ValueError(
                f"target.kind must be one of {kinds}, which join any number of peers, got {self.target.kind}."
            )
        if PAIR_LOSSES[self.loss.kind].excludes_unlabelled:
            raise ValueError(
                f"loss.kind must be a loss without labels, because public samples have none, got {self.loss.kind}."
            )
        if self.conventions.teacher_mode != "eval":
            raise ValueError(
                "conventions.teacher_mode must be eval, because all peers predict the public set once a round, got "
                f"{self.conventions.teacher_mode}."
            )
        budget = self.num_rounds * self.epochs
        for place, setting in enumerate(self.tune.portfolio if self.tune.enabled else ()):
            if (setting.epochs or 0) > budget:
                raise ValueError(
                    f"tune.portfolio[{place}].epochs must be at most num_rounds times epochs, {budget:,}, which is the "
                    f"budget of a peer, got {setting.epochs:,}."
                )
        return self


class RoundsComputeConfig(ComputeConfig):
    """The device, the number of processes, and the division of rounds among them.

    They are not part of an artifact's key, because they do not change the meaning of a result.
    """

    num_round_parts: int = Field(default=1, ge=1, le=1_000)
    """The number of parts into which the peers of each round are divided. Processes and workers share the parts, and
    wait for each other at the end of a round. It changes no result. 1: one process does all rounds of a method, which
    is fastest if a round takes seconds, or if there are as many methods as processes. If it is changed, the rounds of
    an interrupted run begin anew."""


class CollaborateConfig(PeerExperimentConfig):
    """One experiment with rounds: the data, their partition among peers, the pre-training, and the rounds."""

    rounds: RoundsConfig = RoundsConfig()
    compute: RoundsComputeConfig = RoundsComputeConfig()

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """The values of the fields that limit the size of a batch, keyed by the name of the field."""
        return {**super().batch_sizes, "rounds.batch_size": self.rounds.batch_size}

    @property
    def rules_for_losses(self) -> Mapping[str, str]:
        """How an error message about the loss begins, by the name of the loss."""
        return {self.rounds.loss.kind: "rounds.loss.kind must"}

    def check_num_classes(self, num_classes: int) -> None:
        """Check that each constant prediction of an unreliable peer is a class of the data set.

        Raises:
            ValueError: If a prediction is no class of the data set.
        """
        for each in self.rounds.unreliable:
            if each.kind == "constant_prediction" and each.predicted_class >= num_classes:
                raise ValueError(
                    f"rounds.unreliable.predicted_class must be below the number of classes, {num_classes}, got "
                    f"{each.predicted_class} for peer {each.peer}."
                )

    @property
    def highest_temperature(self) -> tuple[str, float]:
        """The name of the field with the temperature, and the temperature."""
        tune = self.rounds.tune
        tried = [each.temperature for each in tune.portfolio if tune.enabled and each.temperature is not None]
        if max(tried, default=0.0) > self.rounds.temperature:
            return "rounds.tune.portfolio", max(tried)
        return "rounds.temperature", self.rounds.temperature

    @property
    def tried_losses(self) -> Mapping[str, LossConfig]:
        """The loss of the divergence, keyed by its name."""
        return {self.rounds.loss.kind: self.rounds.loss}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for method in self.rounds.round_methods:
            if method.needs_public_set and not self.has_public_set:
                field = "data.source" if self.has_peer_data else "partition.public_fraction"
                wanted = "a data set beside those of the peers" if self.has_peer_data else "above 0"
                raise ValueError(
                    f"{field} must be {wanted} when rounds.methods contains {method.name}, whose peers predict public "
                    f"samples, got {'peers' if self.has_peer_data else 0}."
                )
            if method.needs_one_network:
                self._check_same_networks(method)
        check_topology(self.rounds.topology, num_peers=self.partition.num_peers)
        self._check_left_out()
        self._check_unreliable()
        return self

    def _check_unreliable(self) -> None:
        num_peers, unreliable = self.partition.num_peers, self.rounds.unreliable
        for each in unreliable:
            if each.peer >= num_peers:
                raise ValueError(f"rounds.unreliable must name peers from 0 to {num_peers - 1}, got {each.peer}.")
            if each.last_round is not None and each.last_round < each.first_round:
                raise ValueError(
                    f"rounds.unreliable must have a last_round that is not before first_round, {each.first_round}, got "
                    f"{each.last_round} for peer {each.peer}."
                )
            if each.first_round > self.rounds.num_rounds:
                raise ValueError(
                    f"rounds.unreliable must have a first_round that is at most rounds.num_rounds, "
                    f"{self.rounds.num_rounds}, got {each.first_round} for peer {each.peer}."
                )
            for method in self.rounds.round_methods:
                if each.is_lie and method.sends not in ("predictions", "nothing"):
                    raise ValueError(
                        f"rounds.unreliable must not contain {each.kind} when rounds.methods contains {method.name}, "
                        f"which sends {method.sends}: lies are about predictions."
                    )
                if not each.is_lie and method.is_bound:
                    raise ValueError(
                        f"rounds.unreliable must not contain {each.kind} when rounds.methods contains {method.name}, "
                        f"which trains one network for all peers, got {each.kind} for peer {each.peer}."
                    )
        absent = {each.peer for each in unreliable if not each.is_lie}
        if len(absent) > num_peers - 2:
            raise ValueError(
                f"rounds.unreliable must leave at least 2 peers that are never absent, got {num_peers - len(absent)}."
            )

    def _check_same_networks(self, method: RoundMethod) -> None:
        first, *others = self.networks
        for peer, network in enumerate(others, start=1):
            if network != first:
                raise ValueError(
                    f"rounds.methods must not contain {method.name}, which shares one network, when peers have "
                    f"different networks, got {first} for {self.describe_peer(0)} and {network} for "
                    f"{self.describe_peer(peer)}."
                )

    def _check_left_out(self) -> None:
        num_partners = max_num_partners(self.rounds.topology, num_peers=self.partition.num_peers)
        tune = self.rounds.tune
        for place, setting in enumerate(tune.portfolio if tune.enabled else ()):
            if setting.num_left_out >= num_partners:
                raise ValueError(
                    f"rounds.tune.portfolio[{place}].num_left_out must be below the number of partners of a peer, "
                    f"{num_partners}, because one partner is always kept, got {setting.num_left_out}."
                )
