"""The check of the networks and weights that a user provides for peers, before anything is trained.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT
from peerkd.models.adapter import Normalization
from peerkd.training.check_network import check_network, random_images
from peerkd.training.checkpoints import copy_state
from peerkd.training.inputs import CheckInputs
from peerkd.training.own_weights import Mismatch, fit_to_network, read_weights
from peerkd.training.peers import build_adapted
from peerkd.training.process_pool import TaskFunction


def start(inputs: CheckInputs, *, process_index: int) -> TaskFunction:
    """Return a function that checks the network and the weights of one peer, given the peer's index.

    The function yields lines for the log, which list how the weights differ from the network. If the network or the
    weights cannot be used, it raises a ``ValueError``, whose message is one sentence.

    Args:
        inputs: The peers to check, and the shape and the classes of the images.
        process_index: The index of the process, which has no effect.
    """
    checked: set[PeerNetwork] = set()

    def perform(peer: int) -> Iterator[str]:
        network, path = inputs.networks[peer], inputs.weights[peer]
        build = partial(_build, network, inputs)
        weights: dict[str, Tensor] = {}
        try:
            if path is not None:
                # The weights come first: a checkpoint of another network is the likeliest mistake.
                weights, mismatch = fit_to_network(read_weights(path), build(0))
                yield from mismatch.lines()
                remedy = _remedy_of_classes(peer, network, mismatch, inputs)
                mismatch.check(network.name, file=path.name, remedy=remedy)
            if network not in checked:
                check_network(network, build, inputs.image_shape_CHW, num_classes=len(inputs.class_names))
                checked.add(network)
            logits_BK = _random_logits(build(0), weights, inputs)
            _check_finite(network, logits_BK)
            if _are_probabilities(logits_BK):
                yield (
                    f"warning: {network} returns probabilities, as a softmax does, and temperatures act on logits; "
                    "remove the softmax at its end"
                )
        except ValueError as error:
            raise ValueError(f"peers.given[{peer}].{error}") from error

    return perform


def _remedy_of_classes(peer: int, network: PeerNetwork, mismatch: Mismatch, inputs: CheckInputs) -> str:
    """Return what to do with weights that have another number of outputs than the network, otherwise an empty text.

    The number of classes of the study is wrong if a peer has a misspelt class, so the remarks on names come first.
    """
    if mismatch.num_outputs is None:
        return ""
    num_found, num_own = mismatch.num_outputs
    field = f"peers.given[{peer}].classes"
    if network.classes is not None:
        return (
            f"{field} has {num_own:,} names, and the weights have {num_found:,} outputs; name the class of each output"
        )
    remedy = (
        f"if the network has {num_found:,} outputs in place of {num_own:,}, name their classes, in their order, in "
        f"{field}"
    )
    return f"{inputs.doubtful_names}; rename a misspelt class, or, {remedy}" if inputs.doubtful_names else remedy


def _random_logits(module: nn.Module, weights: dict[str, Tensor], inputs: CheckInputs) -> Tensor:
    """Return the logits of a network for random images in evaluation mode, with the weights of a user if there are any.

    Finite weights can have logits that are not finite, for example if the numbers of a file were damaged.
    """
    if weights:
        copy_state(weights, module)
    with torch.no_grad():
        logits_BK: Tensor = module.eval()(random_images(inputs.image_shape_CHW))
    return logits_BK


def _check_finite(network: PeerNetwork, logits_BK: Tensor) -> None:
    if not bool(logits_BK.isfinite().all()):
        raise ValueError(
            f"weights must give finite logits, and {network} with these weights returned NaN or infinite logits for "
            "random images; give the weights of a training that did not diverge."
        )


def _are_probabilities(logits_BK: Tensor) -> bool:
    """Return whether the logits of the classes that a network knows are in 0..1 and sum to 1 for each image."""
    known_BK = logits_BK.where(logits_BK != MISSING_CLASS_LOGIT, 0)
    sums_B = known_BK.sum(dim=1)
    return bool((known_BK >= 0).all()) and torch.allclose(sums_B, torch.ones_like(sums_B))


def _build(network: PeerNetwork, inputs: CheckInputs, seed: int) -> nn.Module:
    # The data set may not be packed yet, and any normalisation shows whether the shapes fit.
    half = (0.5,) * inputs.image_shape_CHW[0]
    return build_adapted(
        network, inputs.image_shape_CHW, study=Normalization(half, half), class_names=inputs.class_names, seed=seed
    )
