"""The control without an exchange: every peer trains for as many steps as in the other methods, but alone."""

from typing import Final

from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after further training on its own samples."""
    return round.train(weights, samples="own")


METHOD: Final = RoundMethod(
    name="alone",
    title="training alone",
    propose=propose,
    sends="nothing",
    needs_public_set=False,
    meaning="Every peer continues to train on its own samples, and nothing leaves it.",
    formula="w_i <- minimise CE_i from w_i",
    source="the control of every method: what the same steps give without any exchange",
)
