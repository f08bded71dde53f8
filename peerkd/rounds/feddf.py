"""FedDF (Lin et al. 2020): average the weights, then distil the ensemble of the peers into the average."""

from typing import Final

from peerkd.losses.pairs.term import HINTON
from peerkd.rounds.fedmd import mean_logits
from peerkd.rounds.joining import averaged, for_each_neighbourhood, shares_by_samples
from peerkd.rounds.method import PeerWeights, Round, RoundMethod, Teaching, neighbourhood


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Average the weights of a neighbourhood, distil the mean logits into the average network, and return its weights.

    First each peer trains on its own samples. The weights of a neighbourhood are then averaged, and the average network
    is trained to imitate the mean logits of the neighbourhood on the public samples. Peers with the same neighbourhood
    have the same result, so it is computed only once.
    """
    round.record_shares(shares_by_samples(round))
    trained = round.train(weights, samples="own")
    predicted = round.predict(trained)
    firsts: dict[tuple[int, ...], int] = {}
    for peer in round.partners:
        firsts.setdefault(neighbourhood(round, peer), peer)
    starts = {first: averaged(trained, peers, round.num_samples) for peers, first in firsts.items()}
    teachings = {
        first: Teaching(mean_logits([predicted[peer].logits_BK for peer in peers]), HINTON, 1.0, 1.0)
        for peers, first in firsts.items()
    }
    fused = round.train(starts, samples="public", teachings=teachings)
    return for_each_neighbourhood(round, lambda peers: fused[firsts[peers]])


METHOD: Final = RoundMethod(
    name="feddf",
    title="FedDF",
    propose=propose,
    sends="weights",
    needs_public_set=True,
    needs_one_network=True,
    meaning="Every peer trains on its own samples, the weights of its neighbourhood are averaged, and the average then "
    "imitates the mean logits of the networks of the neighbourhood on the public samples.",
    formula="v_j <- minimise CE_j from w_j; w_i <- minimise KL(softmax(mean_{j in N(i)} z_j) || p) from the average of "
    "v_j",
    source="Lin et al. 2020, arXiv:2006.07242, algorithm 1 for networks of one architecture, with the optimiser of all "
    "methods here",
)
