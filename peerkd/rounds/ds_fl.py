"""DS-FL (Itahara et al. 2020): train on own samples, then imitate the mean prediction after entropy reduction.

Shape suffixes: S = public samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.term import HINTON
from peerkd.rounds.joining import equal_shares, for_each_neighbourhood
from peerkd.rounds.method import PeerWeights, Round, RoundMethod, Teaching

if TYPE_CHECKING:
    from torch import Tensor


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after it has trained on its own samples and imitated the sharpened mean.

    The mean is taken over the predictions of the peer's neighbourhood on the public samples.

    The paper minimises the cross entropy with the mean prediction, and this function the KL divergence. The two differ
    by the entropy of the mean prediction, which is constant, so their gradients are the same.
    """
    round.record_shares(equal_shares(round))
    trained = round.train(weights, samples="own")
    predicted = round.predict(trained)
    targets = for_each_neighbourhood(
        round,
        lambda peers: reduced_logits(
            [predicted[peer].logits_BK.softmax(-1) for peer in peers], temperature=round.rules.reduction_temperature
        ),
    )
    teachings = {peer: Teaching(logits_SK, HINTON, 1.0, 1.0) for peer, logits_SK in targets.items()}
    return round.train(trained, samples="public", teachings=teachings)


def reduced_logits(probabilities_SK: "list[Tensor]", *, temperature: float) -> "Tensor":
    """Return logits of the mean prediction after entropy reduction, of shape (S, K).

    Let ``p_j`` be the probabilities that peer ``j`` predicts. The softmax of the result is ``softmax(mean_j p_j /
    temperature)``.

    The mean of the probabilities, and not of the logits, is divided by the temperature, so that a low temperature makes
    the largest mean probability nearly 1.
    """
    first, *others = probabilities_SK
    for other in others:
        first = first + other
    return first / (len(probabilities_SK) * temperature)


METHOD: Final = RoundMethod(
    name="ds_fl",
    title="DS-FL",
    propose=propose,
    sends="predictions",
    needs_public_set=True,
    meaning="Every peer trains on its own samples, and then imitates the mean prediction of its neighbourhood on the "
    "public samples, which is sharpened before.",
    formula="v_j <- minimise CE_j from w_j; w_i <- minimise CE(softmax(mean_{j in N(i)} p_j / T_r), p) from v_i",
    source="Itahara et al. 2020, arXiv:2008.06180, with entropy reduction aggregation",
)
