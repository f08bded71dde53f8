"""The declaration of a method of rounds, and what a method may ask of a round.

Shape suffixes: S = public samples, K = classes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from peerkd.losses.pairs.term import DistillationTerm
from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor

Weights: TypeAlias = "Mapping[str, Tensor]"
"""The parameters and buffers of a network, by name."""

PeerWeights: TypeAlias = Mapping[int, Weights]
"""The weights of several peers, by the number of the peer."""

Samples = Literal["own", "public", "own_and_public"]
"""The samples on which a peer trains: ``own`` are the peer's training samples, with labels. ``public`` are the public
samples, without labels. With ``own_and_public``, each step takes a batch of own samples and a batch of public samples.
A peer has the same own batches in the same order with ``own`` and ``own_and_public``, so that no difference between
methods comes from chance."""


class RoundRules(NamedTuple):
    """The settings of a round that methods read."""

    target: PairTarget
    """The rule by which the predictions of several peers are joined to one target."""

    prior_adjusted: bool
    """Whether each peer's predictions are corrected for the class counts of its training data."""

    is_aligned: bool
    """Whether each peer's predictions are divided by their mean over the public set before they are joined."""

    trimmed_fraction: float
    """The fraction of the weights of all predictions that is cut off at either end before they are joined."""

    sharpening_temperature: float
    """The temperature by which the method ``predictions`` sharpens its target; 1 leaves the target unchanged."""

    temperature: float
    """The temperature T of the divergence."""

    distillation_weight: float
    """The weight w of the divergence of the method ``predictions`` in this round, from 0 to 1. The cross entropy has
    the weight 1 - w."""

    pairwise_weight: float
    """The weight w of the divergence of the method ``pairwise`` in this round, from 0 to 1."""

    term: DistillationTerm
    """The divergence D."""

    proximal_weight: float
    """The weight mu of the proximal term in FedProx."""

    reduction_temperature: float
    """The temperature of the entropy reduction of DS-FL."""

    confidence_threshold: float
    """IDKD uses a prediction only if its largest probability is above this number."""

    mutual_weight: float
    """The weight of the divergence of DFML in this round, from 0 to 1."""


class Imitation(NamedTuple):
    """The loss with which a peer imitates a target, and the weight of this loss."""

    term: DistillationTerm
    temperature: float
    distillation_weight: float
    """The weight w of the divergence, from 0 to 1."""


class Teaching(NamedTuple):
    """What a peer imitates on the public samples, and the weight of this imitation in the loss."""

    target_logits_SK: "Tensor"
    """The logits of the target, in the order of the public set."""

    term: DistillationTerm
    temperature: float
    distillation_weight: float
    """The weight w of the divergence, from 0 to 1. It is 1 if a peer trains on public samples alone."""

    epochs: int | None = None
    """The number of epochs; None: that of ``rounds``."""

    learning_rate: float | None = None
    """The learning rate of the first step; None: that of ``rounds``."""

    @property
    def imitation(self) -> Imitation:
        """The loss with which the peer imitates, and its weight, without the target."""
        return Imitation(self.term, self.temperature, self.distillation_weight)


class RoundChoice(NamedTuple):
    """The setting of the method ``predictions`` that a peer tries in a round, as in ``RoundRules``."""

    temperature: float
    sharpening_temperature: float
    distillation_weight: float
    epochs: int
    learning_rate: float

    num_left_out: int
    """The number of partners from which the peer does not learn."""


class Round(Protocol):
    """One round of one method, as the method sees it."""

    @property
    def rules(self) -> RoundRules:
        """The settings of this round."""

    @property
    def partners(self) -> Mapping[int, Sequence[int]]:
        """The partners of each peer in this round, ascending. Every peer that takes part has an entry."""

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """Random pairs (sender, receiver) of partners in this round. No peer is in two of them."""

    @property
    def groups(self) -> Mapping[int, Sequence[int]]:
        """Random groups in this round: for each aggregator of a group, its partners that are in the group.

        Partners are ascending. No peer is in two groups, and a peer may be in none.
        """

    @property
    def teachers(self) -> Mapping[int, int]:
        """A random partner of each peer in this round. A peer without partners has no entry."""

    @property
    def num_samples(self) -> Mapping[int, int]:
        """The number of training samples of each peer."""

    @property
    def choices(self) -> Mapping[int, RoundChoice] | None:
        """The setting that each peer tries in this round; None if all peers have the same. Others omit the round."""

    def predict(self, weights: PeerWeights) -> Mapping[int, Prediction]:
        """Return the predictions of networks in evaluation mode on the public set, by peer.

        Logits have the shape (S, K).
        """

    def train(
        self,
        starts: PeerWeights,
        *,
        samples: Samples,
        teachings: Mapping[int, Teaching] | None = None,
        proximal_weight: float = 0.0,
    ) -> PeerWeights:
        """Train the networks of some peers for the epochs of a round, each with a new optimiser.

        Args:
            starts: The weights from which each peer starts, which are not changed.
            samples: The samples. On ``own``, the loss is the cross entropy CE. On ``public``, it is the divergence D.
                On ``own_and_public``, it is ``w D + (1 - w) CE``, with CE on the own samples and D on the public
                samples.
            teachings: What each peer imitates, required unless the samples are ``own``.
            proximal_weight: The weight mu of the proximal term ``mu / 2 ||weights - start||^2``, which is added to the
                loss.
        """

    def train_if_better(
        self, starts: PeerWeights, teachings: Mapping[int, Teaching], *, reference_logits: "Mapping[int, Tensor]"
    ) -> PeerWeights:
        """Train as ``train`` on own and public samples, and return the network that each peer prefers.

        This is the trained network, unless the peer estimates a lower accuracy for it than for the start.

        Args:
            starts: The weights from which each peer starts.
            teachings: What each of these peers imitates.
            reference_logits: For each of these peers, the logits of a reference prediction of the public samples, of
                shape (S, K). On classes of which the peer has few own validation samples, it estimates accuracies by
                this prediction.
        """

    def train_with_teachers(self, starts: PeerWeights, teachers: Mapping[int, tuple[int, Weights]]) -> PeerWeights:
        """Train the networks of some peers on their own samples, with labels and a teacher for the same samples.

        The loss is ``w D + (1 - w) CE`` with the settings of the round, where w is ``rules.pairwise_weight``. A teacher
        predicts each batch in evaluation mode before the training.

        Args:
            starts: The weights from which each peer starts.
            teachers: The teacher of each of these peers: the peer whose network it is, and the weights of the network.
        """

    def train_pooled(self, start: Weights) -> Weights:
        """Train one network on the own samples of all peers together, and return its weights.

        The training has as many steps as the trainings of all peers on their own samples together.
        """

    def record_shares(self, shares: Mapping[int, Mapping[int, float]]) -> None:
        """Record for the report whose knowledge the round proposes to each peer.

        Args:
            shares: For each peer that learns from others, the share of each peer in what it imitates or averages, the
                peer itself included. The shares of a peer sum to 1.
        """

    def train_mutually(self, received: PeerWeights, own: PeerWeights) -> PeerWeights:
        """Train each peer's own network together with a received network, and return the own network of each peer.

        Both networks train on the same batches of the peer's own samples. Each learns from the labels and from the
        predictions of the other network.
        """

    def train_in_groups(self, groups: Mapping[int, PeerWeights], *, distillation_weight: float) -> PeerWeights:
        """Train the networks of each group together on the samples of its aggregator, and return all of them.

        In each step, all networks of a group predict the same batch. Let w be the weight, z the logits of a network and
        p their softmax. The network minimises ``w D + (1 - w) WSM``. D is the mean of ``KL(p_j || p)`` over the other
        networks j of the group, which count as constants. WSM is the re-weighted softmax cross entropy (Legate et al.
        2023, arXiv:2304.05260): the cross entropy of the softmax of ``z_k + log n(k)``, where n(k) is the number of the
        aggregator's training samples of class k. A class of which it has no sample gets no gradient from its labels.

        Args:
            groups: The weights from which each network starts, by the aggregator of the group and by peer. A group
                includes its aggregator, and has at least two peers.
            distillation_weight: w, from 0 to 1.
        """


class RoundMethod(NamedTuple):
    """A method of rounds: the function that carries it out, and its description in words.

    A formula may use the following names without defining them: i and j are peers, N(i) is i with its partners, w_i
    are the weights of i at the beginning of the round, n_j is the number of training samples of j, z_j are the logits
    of j on the public samples, p_j their softmax, CE_i the cross entropy on i's own samples, and D the divergence.
    """

    name: str
    """The name in ``rounds.methods`` of a config."""

    title: str
    """The name of the method in texts: a noun phrase without an article, in lower case except for proper names."""

    propose: Callable[[Round, PeerWeights], PeerWeights]
    """A function of a round and of the weights of all peers at the beginning of the round. It returns the weights that
    each peer proposes at the end of the round, and does not change its arguments. A peer without an entry in the result
    proposes to stay as it is."""

    sends: Literal["nothing", "predictions", "weights", "samples"]
    """What a peer sends. Samples are sent only once, in the first round."""

    needs_public_set: bool
    """Whether the peers need a public set, without labels."""

    meaning: str
    """What the method does, in one or two sentences for the report and the reference page."""

    formula: str
    """The formula of a round of peer i, as a line of plain text."""

    source: str
    """The source of the method: the paper and section, and how the method here differs from the paper."""

    sends_along: Literal["partners", "pairs", "groups", "teachers", "everyone"] = "partners"
    """The peers to which a peer sends. ``partners``: all of its partners. ``pairs``: the sender of each pair in
    ``Round.pairs`` sends to the receiver. ``groups``: in each group of ``Round.groups``, the other peers send to
    the aggregator, which sends each of them its own network back. ``teachers``: a peer sends to the peers whose teacher
    it is in ``Round.teachers``. ``everyone``: all other peers."""

    needs_one_network: bool = False
    """Whether all peers must have the same network, because weights are averaged or taken over."""

    alpha_field: str | None = None
    """The field of the config with the weight alpha of the divergence. None: the loss does not contain the divergence
    that the config describes."""

    joins_samples: bool = False
    """Whether each step of a peer takes a batch of own samples and a batch of public ones. If not, no training uses
    both kinds of samples."""

    is_bound: bool = False
    """Whether the method is an upper bound on what any exchange can reach. No peer may reject its proposals."""


def neighbourhood(round: Round, peer: int) -> tuple[int, ...]:
    """Return a peer and its partners, ascending. If all peers are partners, the result is the same for every peer."""
    return tuple(sorted({peer, *round.partners[peer]}))
