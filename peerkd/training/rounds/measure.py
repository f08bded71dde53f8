"""The measurements of the peers after a round: accuracies, and the bytes that left each peer."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from peerkd.config.collaborate import CollaborateConfig
from peerkd.config.given_peers import PeerNetwork
from peerkd.results.rounds import MAX_TEACHERS
from peerkd.rounds.method import PeerWeights, RoundMethod, Weights
from peerkd.study.moved_bytes import logits_bytes
from peerkd.training.evaluate import Predictions
from peerkd.training.finite import all_answered, are_finite
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.round import TrainingRound
from peerkd.training.rounds.students import predictions_of

Accuracies = Mapping[str, Any]
"""The accuracies of a peer by name: ``{validation,test}_{global,own}_accuracy`` and ``test_class_accuracies``."""


NO_BYTES: Final[Mapping[str, int]] = {"sent_bytes": 0, "received_bytes": 0}
"""The bytes of a peer that is absent."""


def measure(config: CollaborateConfig, data: RoundsData, weights: PeerWeights) -> dict[int, Accuracies]:
    """Return the accuracies of the networks of some peers.

    A network with a weight or logit that is not finite has no entry.
    """
    measured: dict[int, Accuracies] = {}
    groups: defaultdict[PeerNetwork, list[int]] = defaultdict(list)
    for peer, state in weights.items():
        if are_finite(state.values()):
            groups[config.networks[peer]].append(peer)
    for network, peers in groups.items():
        predictions: list[Predictions] = []
        functions = predictions_of(data, network, [weights[peer] for peer in peers])
        if len(functions) == 1:
            predictions += data.evaluator.predict_many(functions[0], peers=peers)
        else:
            for peer, function in zip(peers, functions, strict=True):
                predictions += data.evaluator.predict_many(function, peers=[peer])
        for peer, of_peer in zip(peers, predictions, strict=True):
            if all_answered(of_peer):
                found = data.evaluator.accuracies(of_peer, peer=peer)
                measured[peer] = {
                    **{name: value for name, value in found.items() if value is not None},
                    "test_class_accuracies": data.evaluator.class_accuracies(of_peer, peer=peer),
                }
    return measured


def is_accepted(proposed: Accuracies | None, start: Accuracies, *, max_own_drop: float | None) -> bool:
    """Return whether a peer accepts the network that a round proposes to it.

    Args:
        proposed: The accuracies of the proposed network; None if a weight or logit of this network is not finite.
        start: The accuracies of the peer before the first round. The limit always refers to these accuracies, so that
            small losses cannot add up over rounds.
        max_own_drop: The maximum loss of validation accuracy on the peer's own distribution. None means no limit.
    """
    if proposed is None:
        return False
    if max_own_drop is None:
        return True
    return bool(proposed["validation_own_accuracy"] >= start["validation_own_accuracy"] - max_own_drop)


def exchanged_bytes(
    method: RoundMethod, round: TrainingRound, weights: PeerWeights, data: RoundsData
) -> dict[int, dict[str, int]]:
    """Return ``sent_bytes`` and ``received_bytes`` of each peer in a round.

    A peer sends its message once, to a store from which all its partners read it. Each partner receives the whole
    message. The class counts of the peers are not counted, because they are sent only once and take a few bytes for
    each class.
    """

    def message(peer: int) -> int:
        match method.sends:
            case "nothing":
                return 0
            case "predictions":
                return logits_bytes(data.num_public, data.dataset.num_classes)
            case "weights":
                return weights_bytes(weights[peer])
            case "samples":
                return round.num_samples[peer] * math.prod(data.dataset.image_shape) if round.number == 1 else 0

    if method.sends_along == "groups":
        return _bytes_of_groups(round, message)
    senders = _senders(method, round)
    read = {sender for each in senders.values() for sender in each}
    return {
        peer: {
            "sent_bytes": message(peer) if peer in read else 0,
            "received_bytes": sum(map(message, senders[peer])),
        }
        for peer in senders
    }


def _bytes_of_groups(round: TrainingRound, message: Callable[[int], int]) -> dict[int, dict[str, int]]:
    """Return what ``exchanged_bytes`` returns if each network of a group goes to the aggregator and back."""
    moved = dict.fromkeys(sorted(round.partners), 0)
    for aggregator, senders in round.groups.items():
        moved |= {sender: message(sender) for sender in senders}
        moved[aggregator] = sum(map(message, senders))
    return {peer: {"sent_bytes": num, "received_bytes": num} for peer, num in moved.items()}


def _senders(method: RoundMethod, round: TrainingRound) -> dict[int, Sequence[int]]:
    """Return the peers whose messages each peer reads, by the peer that reads."""
    peers = sorted(round.partners)
    match method.sends_along:
        case "partners":
            return dict(round.partners)
        case "pairs":
            return dict.fromkeys(peers, ()) | {receiver: (sender,) for sender, receiver in round.pairs}
        case "teachers":
            return dict.fromkeys(peers, ()) | {peer: (teacher,) for peer, teacher in round.teachers.items()}
        case "groups":
            raise ValueError("sends_along must name whose messages a peer reads, got groups.")
        case "everyone":
            return {peer: [other for other in peers if other != peer] for peer in peers}


def teacher_columns(peer: int, shares: Mapping[int, float]) -> dict[str, list[Any] | None]:
    """Return the columns ``teachers`` and ``teacher_shares`` of a peer.

    If the peer has more than ``MAX_TEACHERS`` teachers, those with the smallest shares are omitted. The peer itself is
    never omitted, because reports compare its own share with that of the others.

    Args:
        peer: The peer that learns.
        shares: The share of each peer. If it is empty or contains only the peer itself, the peer learned from itself
            alone, and the columns are None. They are also None if a share is not finite, because the predictions
            behind it are of no use.
    """
    if shares.keys() <= {peer} or not all(map(math.isfinite, shares.values())):
        return {"teachers": None, "teacher_shares": None}
    by_share = sorted(shares, key=lambda each: (-shares[each], each))
    listed = by_share[:MAX_TEACHERS]
    if peer in by_share[MAX_TEACHERS:]:
        listed[-1] = peer
    return {"teachers": listed, "teacher_shares": [shares[each] for each in listed]}


def weights_bytes(weights: Weights) -> int:
    """Return the size of the parameters and buffers of a network."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.values())


def first_row(peer: int, accuracies: Accuracies) -> dict[str, Any]:
    """Return the measurements of a peer before the first round."""
    nothing = dict.fromkeys(("sent_bytes", "received_bytes", "num_own_samples", "num_public_samples"), 0)
    return {"round": 0, "peer": peer, **accuracies, **nothing, "is_accepted": True, **teacher_columns(peer, {})}
