"""FedProx (Li et al. 2020): FedAvg with a proximal term."""

from typing import Final

from peerkd.rounds.fedavg import average_after_training
from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Train each peer with the proximal term, and return the mean weights of the neighbourhood of each peer."""
    return average_after_training(round, weights, proximal_weight=round.rules.proximal_weight)


METHOD: Final = RoundMethod(
    name="fedprox",
    title="FedProx",
    propose=propose,
    sends="weights",
    needs_public_set=False,
    needs_one_network=True,
    meaning="FedAvg, with a term in the loss that keeps each peer near the weights with which it began the round.",
    formula="v_j <- minimise CE_j + mu/2 ||v_j - w_j||^2 from w_j; then as FedAvg",
    source="Li et al. 2020, arXiv:1812.06127, equation 2, solved by the same number of steps as all methods",
)
