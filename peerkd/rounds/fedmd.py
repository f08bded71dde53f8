"""FedMD (Li and Wang 2019): imitate the mean logits of all peers, then train on own samples.

Shape suffixes: B = samples, S = public samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.rounds.joining import equal_shares, for_each_neighbourhood
from peerkd.rounds.method import PeerWeights, Round, RoundMethod, Teaching

if TYPE_CHECKING:
    from torch import Tensor


def mean_absolute_difference(
    student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor"
) -> "Tensor":
    """Return the mean absolute difference of the two logits over the classes, of shape (B,).

    Both logits are divided by the temperature, which is always 1 in FedMD.
    """
    return ((student_logits_BK - reference_logits_BK) / temperature).abs().mean(-1)


_LOSS: Final = PairLoss(
    name="mean_absolute_difference",
    title="mean absolute difference of logits",
    per_sample=mean_absolute_difference,
    meaning="D is the mean over the classes of the absolute difference of the logits.",
    formula="mean_k |z_k - t_k|",
    tex=r"\frac{1}{K} \sum_k |z_k - t_k|",
    source="Li and Wang 2019, arXiv:1910.03581, whose public code minimises the mean absolute error of scores",
)

DIGEST: Final = DistillationTerm(_LOSS, {})


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after it has imitated the mean logits on the public samples, and then trained.

    The mean is taken over the logits of the peer's neighbourhood. The training that follows uses the peer's own
    samples. The paper calls the two steps digest and revisit.
    """
    round.record_shares(equal_shares(round))
    predicted = round.predict(weights)
    consensus = for_each_neighbourhood(round, lambda peers: mean_logits([predicted[peer].logits_BK for peer in peers]))
    teachings = {peer: Teaching(logits_SK, DIGEST, 1.0, 1.0) for peer, logits_SK in consensus.items()}
    digested = round.train(weights, samples="public", teachings=teachings)
    return round.train(digested, samples="own")


def mean_logits(logits_SK: "list[Tensor]") -> "Tensor":
    """Return the mean of the logits of several networks, of shape (S, K)."""
    first, *others = logits_SK
    for other in others:
        first = first + other
    return first / len(logits_SK)


METHOD: Final = RoundMethod(
    name="fedmd",
    title="FedMD",
    propose=propose,
    sends="predictions",
    needs_public_set=True,
    meaning="Every peer first imitates the mean logits of its neighbourhood on the public samples, and then trains on "
    "its own samples.",
    formula="v <- minimise mean |z - mean_{j in N(i)} z_j| from w_i; w_i <- minimise CE_i from v",
    source="Li and Wang 2019, arXiv:1910.03581, algorithm 1, without its pre-training on public labels",
)
