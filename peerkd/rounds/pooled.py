"""The upper bound: one network that is trained on the samples of all peers together, as if the data could be moved."""

from typing import Final

from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Train one network on the samples of all peers together, and return its weights for every peer.

    The training starts from the weights of the first peer. After the first round, all peers have the same weights, so
    each round continues the training of the round before.
    """
    total = sum(round.num_samples.values())
    shares = {peer: num / total for peer, num in round.num_samples.items()}
    round.record_shares(dict.fromkeys(weights, shares))
    trained = round.train_pooled(weights[min(weights)])
    return dict.fromkeys(weights, trained)


METHOD: Final = RoundMethod(
    name="pooled",
    title="pooled training",
    propose=propose,
    sends="samples",
    sends_along="everyone",
    needs_public_set=False,
    needs_one_network=True,
    is_bound=True,
    meaning="One network trains on the samples of all peers together, in as many steps as all peers together take in "
    "training alone. All raw samples move once, before the first round. No peer can reject it.",
    formula="w <- minimise CE on the samples of all peers from w, which is w_0 at first; w_i <- w",
    source="the upper bound of every method: what the same steps give if no data have to stay at home",
)
