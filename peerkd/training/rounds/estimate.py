"""The accuracy that a peer estimates for networks, from its own validation samples and from the public set.

Shape suffixes: S = public samples, K = classes, B = batch.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from peerkd.config.given_peers import PeerNetwork
from peerkd.results.outcome import class_accuracies
from peerkd.rounds.method import Weights
from peerkd.training.devices import autocast
from peerkd.training.finite import predicted_classes
from peerkd.training.rounds.data import RoundsData
from peerkd.training.rounds.students import predictions_of

_MIN_SAMPLES: Final = 5
"""The least number of own validation samples of a class from which its accuracy is estimated."""


@torch.no_grad()
def estimated_accuracies(
    data: RoundsData, network: PeerNetwork, states: Sequence[Weights], *, peer: int, target_SK: Tensor, precision: str
) -> list[float]:
    """Return the accuracy of each of several networks as a peer estimates it: a mean over all classes.

    The accuracy on a class is measured on the peer's own validation samples. A peer may have hardly any samples of some
    classes. If it judged networks by the other classes alone, it would prefer those that have forgotten the rest.
    Therefore, the accuracy on such a class is the share of the public samples of this class, according to the target,
    on which the network agrees with the target. Classes of which there are no samples at all do not count.

    Args:
        data: The data of the rounds.
        network: The network of the peer.
        states: The weights of each network. All numbers are finite.
        peer: The peer.
        target_SK: The logits of the target on the public samples.
        precision: The precision of the forward passes.
    """
    labels_S = target_SK.argmax(-1).cpu().numpy()
    num_classes = data.dataset.num_classes
    found: list[float] = []
    for function in predictions_of(data, network, states):
        with autocast(data.device, precision):
            parts = [predicted_classes(function(images_BCHW)) for images_BCHW in data.public_images()]
        of_public = torch.cat(parts, dim=1).cpu().numpy()
        of_own = data.evaluator.predict_many(function, peers=[peer] * len(of_public), splits=("validation",))
        for agreed_S, predicted in zip(of_public, of_own, strict=True):
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
