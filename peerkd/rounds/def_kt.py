"""Def-KT (Li et al. 2020): in random pairs, one peer sends its trained network, and the other learns together with it.

Only the abstract of the paper was available. What the two peers keep is therefore taken from a public implementation:
the sender keeps the network that it has sent, and the receiver keeps its own network.
"""

from typing import Final

from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of the senders after training on own samples, and of the receivers after mutual learning.

    A receiver learns together with the network that its sender has trained.
    """
    round.record_shares({receiver: {receiver: 0.5, sender: 0.5} for sender, receiver in round.pairs})
    trained = round.train({sender: weights[sender] for sender, _ in round.pairs}, samples="own")
    learned = round.train_mutually(
        {receiver: trained[sender] for sender, receiver in round.pairs},
        {receiver: weights[receiver] for _, receiver in round.pairs},
    )
    return {**trained, **learned}


METHOD: Final = RoundMethod(
    name="def_kt",
    title="Def-KT",
    propose=propose,
    sends="weights",
    needs_public_set=False,
    sends_along="pairs",
    needs_one_network=True,
    meaning="In random pairs, one peer trains on its own samples and sends its network to the other, where both "
    "networks learn from the labels there and from each other.",
    formula="w_i <- minimise CE_i from w_i, sent to j; w_j <- minimise CE_j(z_j) + KL(p_i || p_j) from w_j, while the "
    "sent network minimises CE_j(z_i) + KL(p_j || p_i)",
    source="Li et al. 2020, arXiv:2012.13063, abstract; mutual learning as in Zhang et al. 2018, arXiv:1706.00384",
)
