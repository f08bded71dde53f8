"""One round of joint distillation between pairs, repeated: each peer learns from its own labels and one random peer."""

from typing import Final

from peerkd.rounds.method import PeerWeights, Round, RoundMethod


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after it has learned from its own labels and from a random partner at once.

    The training is that of the pipeline ``jointkd`` with the transfer set ``student`` and the target ``teacher``: the
    partner's network, which has come to the peer, predicts the peer's own batches in evaluation mode. A peer without
    partners proposes to stay as it is.
    """
    weight = round.rules.pairwise_weight
    round.record_shares({peer: {teacher: weight, peer: 1 - weight} for peer, teacher in round.teachers.items()})
    return round.train_with_teachers(
        {peer: weights[peer] for peer in round.teachers},
        {peer: (teacher, weights[teacher]) for peer, teacher in round.teachers.items()},
    )


METHOD: Final = RoundMethod(
    name="pairwise",
    title="pairwise distillation",
    propose=propose,
    sends="weights",
    sends_along="teachers",
    needs_public_set=False,
    alpha_field="pairwise_alpha",
    meaning="Every peer learns from its own labels and from the predictions of one random partner on the same own "
    "samples, as in one round of jointkd with the transfer set student.",
    formula="w_i <- minimise (1 - w) CE_i + w D(z_j, z_i) on i's own samples from w_i, with a random partner j",
    source="this project's jointkd, repeated in every round with a new random teacher",
)
