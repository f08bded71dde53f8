"""DFML (Khalil et al. 2024): in random groups, the networks of all members learn together on the samples of one member.

Only the abstract and summaries of the paper were available. In the paper, the weight of the divergence changes in
cycles of rounds, and each peer also keeps a network from an earlier round, its peak model. A round here has no state
but the weights, so there are no peak models. Each cycle ends with the largest weight of the divergence instead, so that
its last round ends with networks that have just learned from each other.
"""

from typing import Final

from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Train all members of groups on their own samples, and then on the aggregator's, and return their weights.

    Each member trains on its own samples and sends its network to the aggregator of the group. There, all networks of
    the group learn together from the labels and from each other, and each goes back to its peer.
    """
    members = {aggregator: (aggregator, *senders) for aggregator, senders in round.groups.items()}
    trained = round.train({peer: weights[peer] for peers in members.values() for peer in peers}, samples="own")
    weight = round.rules.mutual_weight
    round.record_shares(
        {peer: _shares(peer, aggregator, peers, weight) for aggregator, peers in members.items() for peer in peers}
    )
    return round.train_in_groups(
        {aggregator: {peer: trained[peer] for peer in peers} for aggregator, peers in members.items()},
        distillation_weight=weight,
    )


def _shares(peer: int, aggregator: int, members: tuple[int, ...], weight: float) -> dict[int, float]:
    """Return the share of each member in what one member learns: labels of the aggregator, and other networks."""
    shares = {other: weight / (len(members) - 1) for other in members if other != peer and weight}
    if weight < 1:
        shares[aggregator] = shares.get(aggregator, 0.0) + 1 - weight
    return shares


METHOD: Final = RoundMethod(
    name="dfml",
    title="DFML",
    propose=propose,
    sends="weights",
    sends_along="groups",
    needs_public_set=False,
    meaning="In random groups, every peer trains on its own samples and sends its network to one of them, the "
    "aggregator. There, all networks learn from the labels and from each other, and are sent back. The weight of the "
    "divergence rises from 0 to 1 within each cycle of rounds.",
    formula="v_j <- minimise CE_j from w_j; w_j <- minimise (1 - w) WSM_a(z_j) + w mean_{i in group} KL(p_i || p_j) on "
    "the samples of the aggregator a from v_j, where WSM_a is the cross entropy of the softmax of z_j + log n_a(k) and "
    "n_a(k) the number of a's training samples of class k",
    source="Khalil et al. 2024, arXiv:2402.01863, of which only the abstract and summaries were available, without "
    "peak models and with equal weights of all networks; WSM as in Legate et al. 2023, arXiv:2304.05260",
)
