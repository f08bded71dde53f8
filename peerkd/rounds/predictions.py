"""Joint distillation in rounds: labels on own samples, and one target from all peers' predictions on public samples."""

from typing import Final

from peerkd.losses.targets.target import joined_logits, joined_shares
from peerkd.rounds import tuned_predictions
from peerkd.rounds.joining import for_each_neighbourhood
from peerkd.rounds.method import PeerWeights, Round, RoundMethod, Teaching


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after it has learned from its own labels and from the joined predictions at once.

    Each step takes a batch of own samples and a batch of public samples. At the beginning of the round, the peers of a
    neighbourhood predict the public samples. Their predictions are joined to one target by the rule ``rounds.target``,
    for instance with weights that depend on class counts. ``rounds.distribution_alignment`` and
    ``rounds.trimmed_fraction`` limit what one peer can do to the target.

    The target ``q`` is sharpened to ``q^(1/t) / sum_k q(k)^(1/t)`` with ``t = rounds.sharpening_temperature``
    (Berthelot et al. 2019, arXiv:1905.02249, equation 7). Its logits are ``T log q``, so they are divided by t.
    """
    if round.choices is not None:
        return tuned_predictions.propose(round, weights, round.choices)
    rules, predicted = round.rules, round.predict(weights)

    def shares(peers: tuple[int, ...]) -> dict[int, float]:
        found = joined_shares(
            rules.target,
            [predicted[peer] for peer in peers],
            temperature=rules.temperature,
            prior_adjusted=rules.prior_adjusted,
            is_aligned=rules.is_aligned,
            trimmed_fraction=rules.trimmed_fraction,
        )
        return dict(zip(peers, found, strict=True))

    round.record_shares(for_each_neighbourhood(round, shares))
    teachings = for_each_neighbourhood(
        round,
        lambda peers: Teaching(
            joined_logits(
                rules.target,
                [predicted[peer] for peer in peers],
                temperature=rules.temperature,
                prior_adjusted=rules.prior_adjusted,
                is_aligned=rules.is_aligned,
                trimmed_fraction=rules.trimmed_fraction,
            )
            / rules.sharpening_temperature,
            rules.term,
            rules.temperature,
            rules.distillation_weight,
        ),
    )
    return round.train(weights, samples="own_and_public", teachings=teachings)


METHOD: Final = RoundMethod(
    name="predictions",
    title="joint distillation",
    propose=propose,
    sends="predictions",
    needs_public_set=True,
    alpha_field="alpha",
    joins_samples=True,
    meaning=(
        "Every peer predicts the public samples once a round, and learns from its own labels and from the joined "
        "predictions of its neighbourhood at the same time."
    ),
    formula="w_i <- minimise (1 - w) CE_i + w D(sharpened(target(z_j : j in N(i))), z_i) from w_i",
    source="this project; rounds.target says how predictions are joined",
)
