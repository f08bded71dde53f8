"""FedAvg (McMahan et al. 2017): each peer trains on its own samples, and the weights are then averaged."""

from typing import Final

from peerkd.rounds.joining import averaged, for_each_neighbourhood, shares_by_samples
from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Train each peer on its own samples, and return the mean weights of the neighbourhood of each peer."""
    return average_after_training(round, weights, proximal_weight=0.0)


def average_after_training(round: Round, weights: PeerWeights, *, proximal_weight: float) -> PeerWeights:
    """Train each peer with a proximal term, and return the mean weights of the neighbourhood of each peer.

    The term is ``proximal_weight / 2`` times the squared distance of a peer's weights from its weights at the beginning
    of the round. The weight 0 gives FedAvg, and a weight above 0 gives FedProx.
    """
    trained = round.train(weights, samples="own", proximal_weight=proximal_weight)
    round.record_shares(shares_by_samples(round))
    return for_each_neighbourhood(round, lambda peers: averaged(trained, peers, round.num_samples))


METHOD: Final = RoundMethod(
    name="fedavg",
    title="FedAvg",
    propose=propose,
    sends="weights",
    needs_public_set=False,
    needs_one_network=True,
    meaning=(
        "Every peer trains on its own samples, and the weights of its neighbourhood are then averaged, weighted by "
        "numbers of samples. If all peers are partners, all have the same weights after a round."
    ),
    formula="v_j <- minimise CE_j from w_j; w_i <- sum_{j in N(i)} n_j v_j / sum_{j in N(i)} n_j",
    source="McMahan et al. 2017, arXiv:1602.05629, algorithm 1, with all peers in every round and zero momentum at "
    "the start of each; the peers start from different weights",
)
