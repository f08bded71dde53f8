"""The accuracy that a peer estimates for networks, from its own validation samples and from the public set.

Shape suffixes: S = public samples, N = own validation samples, K = classes, G = networks, B = batch, C = image
channels, H W = image size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from peerkd.config.given_peers import PeerNetwork
from peerkd.results.outcome import class_accuracies
from peerkd.rounds.method import Weights
from peerkd.training.finite import predicted_classes
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.students import on_public_set, predictions_of

_MIN_SAMPLES: Final = 5
"""The least number of own validation samples of a class from which its accuracy is estimated."""


@torch.no_grad()
def estimated_accuracies(
    data: RoundsData,
    networks: Sequence[PeerNetwork],
    states: Mapping[int, Sequence[Weights]],
    *,
    reference_logits: Mapping[int, Tensor],
    precision: str,
) -> dict[int, list[float]]:
    """Return the accuracy of several networks of some peers, as each peer estimates it: a mean over all classes.

    The accuracy on a class is measured on the peer's own validation samples. A peer may have hardly any samples of some
    classes. If it judged networks by the other classes alone, it would prefer those that have forgotten the rest.
    Therefore, the accuracy on such a class is measured on public samples, with the classes of a reference prediction as
    their labels. Classes of which there are no samples at all do not count.

    Args:
        data: The data of the rounds.
        networks: The network of every peer.
        states: For each of some peers, the weights of each network. All numbers are finite.
        reference_logits: For each of these peers, the logits of the reference prediction, of shape (S, K).
        precision: The precision of the forward passes.
    """
    functions = {peer: predictions_of(data, networks[peer], of_peer) for peer, of_peer in states.items()}
    answers = [_classes_of(function) for of_peer in functions.values() for function in of_peer]
    of_public = iter(on_public_set(data, answers, precision=precision))
    return {
        peer: [
            accuracy
            for function in of_peer
            for accuracy in _accuracies(data, peer, function, next(of_public), reference_SK=reference_logits[peer])
        ]
        for peer, of_peer in functions.items()
    }


def _classes_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda images_BCHW: predicted_classes(function(images_BCHW))


def _accuracies(
    data: RoundsData, peer: int, function: Callable[[Tensor], Tensor], agreed_GS: Tensor, *, reference_SK: Tensor
) -> list[float]:
    """Return the estimates for G networks of a peer, given the classes that they predict for the public samples."""
    labels_S, num_classes = reference_SK.argmax(-1).cpu().numpy(), data.dataset.num_classes
    of_own = data.evaluator.predict_many(function, peers=[peer] * len(agreed_GS), splits=("validation",))
    found: list[float] = []
    for agreed_S, predicted in zip(agreed_GS.cpu().numpy(), of_own, strict=True):
        labels_N, predicted_N = data.evaluator.own_answers(predicted, peer=peer, split="validation")
        own_K = class_accuracies(labels_N, predicted_N, num_classes=num_classes)
        public_K = class_accuracies(labels_S, agreed_S, num_classes=num_classes)
        counts_K = np.bincount(labels_N, minlength=num_classes)
        chosen = [
            own if count >= _MIN_SAMPLES else public
            for own, public, count in zip(own_K, public_K, counts_K, strict=True)
        ]
        known = [each for each in chosen if each is not None]
        found.append(sum(known) / len(known))
    return found
