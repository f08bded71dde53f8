"""The check of the networks and weights that a user provides for peers, before anything is trained.

Shape suffixes: C = image channels, H W = image size.
"""

from collections.abc import Iterator
from functools import partial

from torch import nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.models.adapter import Normalization
from peerkd.training.check_network import check_network
from peerkd.training.inputs import CheckInputs
from peerkd.training.own_weights import fit_to_network, read_weights
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
        try:
            if path is not None:
                # The weights come first: a checkpoint of another network is the likeliest mistake.
                _, mismatch = fit_to_network(read_weights(path), build(0))
                yield from mismatch.lines()
                mismatch.check(network.name)
            if network not in checked:
                check_network(network, build, inputs.image_shape_CHW, num_classes=len(inputs.class_names))
                checked.add(network)
        except ValueError as error:
            raise ValueError(f"peers.given[{peer}].{error}") from error

    return perform


def _build(network: PeerNetwork, inputs: CheckInputs, seed: int) -> nn.Module:
    # The data set may not be packed yet, and any normalisation shows whether the shapes fit.
    half = (0.5,) * inputs.image_shape_CHW[0]
    return build_adapted(
        network, inputs.image_shape_CHW, study=Normalization(half, half), class_names=inputs.class_names, seed=seed
    )
