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
"""The samples of a training. own: the peer's training samples, with labels. public: the public samples, without labels.
own_and_public: each batch has a batch of both. A peer's own batches are the same with ``own`` and ``own_and_public``,
in the same order, so that methods differ in nothing that is left to chance."""


class RoundRules(NamedTuple):
    """The settings of a round that methods read."""

    target: PairTarget
    """How predictions are joined."""

    prior_adjusted: bool
    """Whether the class counts of each peer are removed from its predictions; see ``target_logits``."""

    temperature: float
    """T of the divergence."""

    distillation_weight: float
    """The weight w of the divergence in this round, from 0 to 1; the cross entropy has 1 - w."""

    term: DistillationTerm
    """The divergence D."""

    proximal_weight: float
    """mu of FedProx."""

    reduction_temperature: float
    """The temperature of the entropy reduction of DS-FL."""


class Teaching(NamedTuple):
    """What a student imitates on the public samples, and how much that counts."""

    target_logits_SK: "Tensor"
    """Logits, in the order of the public set."""

    term: DistillationTerm
    temperature: float
    distillation_weight: float
    """w, from 0 to 1. On public samples alone it is 1."""


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
    def num_samples(self) -> Mapping[int, int]:
        """The number of training samples of each peer."""

    def predict(self, weights: PeerWeights) -> Mapping[int, Prediction]:
        """Return the predictions of networks on the public set in evaluation mode, by peer: ``SK`` each."""

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
            samples: The samples. On ``own``, the loss is the cross entropy; on ``own_and_public``, it is ``w D + (1 -
                w) CE`` with CE on the own samples and D on the public ones; on ``public``, it is D.
            teachings: What each peer imitates, required unless the samples are ``own``.
            proximal_weight: mu of ``mu / 2 ||weights - start||^2``, which is added to the loss.
        """

    def train_mutually(self, received: PeerWeights, own: PeerWeights) -> PeerWeights:
        """Train two networks together on each peer's own samples: a received one and its own, which is returned.

        Each of the two learns from the labels and from the other's predictions on the same batch.
        """


class RoundMethod(NamedTuple):
    """A method of rounds, as a function and in words.

    A formula may use the following names without defining them: i and j are peers, N(i) is i with its partners, w_i
    are the weights of i at the beginning of the round, n_j is the number of training samples of j, z_j are the logits
    of j on the public samples, p_j their softmax, CE_i the cross entropy on i's own samples, and D the divergence.
    """

    name: str
    """The name in ``rounds.methods`` of a config."""

    title: str
    """A noun phrase without an article, in lower case except for names."""

    propose: Callable[[Round, PeerWeights], PeerWeights]
    """``propose(round, weights)`` returns the weights that each peer proposes at the end of a round, given those at its
    beginning, which it leaves unchanged. A peer without an entry proposes to stay as it is."""

    sends: Literal["nothing", "predictions", "weights"]
    """What a peer sends to its partners."""

    needs_public_set: bool
    """Whether the peers need a public set, without labels."""

    meaning: str
    """One or two sentences for the report and the reference page."""

    formula: str
    """The round of peer i as a line of plain text."""

    source: str
    """Paper and section, and how the method here differs from the paper."""

    sends_in_pairs: bool = False
    """Whether only the sender of each of ``Round.pairs`` sends, and only to its receiver. Otherwise every peer sends to
    all of its partners."""


def neighbourhood(round: Round, peer: int) -> tuple[int, ...]:
    """Return a peer and its partners, ascending. If all peers are partners, it is the same for every peer."""
    return tuple(sorted({peer, *round.partners[peer]}))
