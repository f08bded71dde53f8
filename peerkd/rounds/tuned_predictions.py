"""Joint distillation in rounds in which each peer tries a setting of its own, and learns only if it gains.

Shape suffixes: S = public samples, K = classes.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from peerkd.losses.targets.target import Prediction, joined_logits, joined_shares
from peerkd.rounds.method import PeerWeights, Round, RoundChoice, Teaching, neighbourhood

if TYPE_CHECKING:
    from torch import Tensor


def propose(round: Round, weights: PeerWeights, choices: Mapping[int, RoundChoice]) -> PeerWeights:
    """Return the weights of each peer after it has tried its setting. A peer without a setting proposes nothing."""
    rules, predicted = round.rules, round.predict(weights)

    @cache
    def joined(peers: tuple[int, ...], temperature: float) -> "Tensor":
        return joined_logits(
            rules.target,
            [predicted[peer] for peer in peers],
            temperature=temperature,
            prior_adjusted=rules.prior_adjusted,
            is_aligned=rules.is_aligned,
            trimmed_fraction=rules.trimmed_fraction,
        )

    @cache
    def shares(peers: tuple[int, ...], temperature: float) -> dict[int, float]:
        found = joined_shares(
            rules.target,
            [predicted[peer] for peer in peers],
            temperature=temperature,
            prior_adjusted=rules.prior_adjusted,
            is_aligned=rules.is_aligned,
            trimmed_fraction=rules.trimmed_fraction,
        )
        return dict(zip(peers, found, strict=True))

    teachings: dict[int, Teaching] = {}
    reference_logits: dict[int, Tensor] = {}
    learned: dict[int, Mapping[int, float]] = {}
    for peer, choice in choices.items():
        peers = neighbourhood(round, peer)
        # The gains of settings are compared with each other, so one prediction judges all of them.
        reference_logits[peer] = joined(peers, rules.temperature)
        if choice.num_left_out:
            peers = kept(predicted, reference_logits[peer], peer=peer, peers=peers, num_left_out=choice.num_left_out)
        learned[peer] = shares(peers, choice.temperature)
        teachings[peer] = Teaching(
            joined(peers, choice.temperature) / choice.sharpening_temperature,
            rules.term,
            choice.temperature,
            choice.distillation_weight,
            epochs=choice.epochs,
            learning_rate=choice.learning_rate,
        )
    round.record_shares(learned)
    return round.train_if_better(
        {peer: weights[peer] for peer in teachings}, teachings, reference_logits=reference_logits
    )


def kept(
    predicted: Mapping[int, Prediction],
    joined_SK: "Tensor",
    *,
    peer: int,
    peers: tuple[int, ...],
    num_left_out: int,
) -> tuple[int, ...]:
    """Return a neighbourhood without the partners whose predicted classes agree least with the joined prediction.

    At least one partner is kept, and the peer itself always is.
    """
    classes_S = joined_SK.argmax(-1)
    partners = [each for each in peers if each != peer]
    agreed = {each: int((predicted[each].logits_BK.argmax(-1) == classes_S).sum()) for each in partners}
    num_left_out = min(num_left_out, len(partners) - 1)
    left_out = sorted(partners, key=lambda each: (agreed[each], each))[: max(num_left_out, 0)]
    return tuple(each for each in peers if each not in left_out)
