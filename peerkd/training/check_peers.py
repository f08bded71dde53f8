"""The check of the networks and weights that a user provides for peers, before anything is trained.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.excerpt import plain
from peerkd.models.adapter import Normalization
from peerkd.own_code import describe_error
from peerkd.training.inputs import CheckInputs
from peerkd.training.own_weights import fit_to_network, read_weights
from peerkd.training.peers import build_adapted
from peerkd.training.process_pool import TaskFunction

_BATCH_SIZE: Final = 3
"""The number of random images on which each network is called. It is the smallest size of a batch in training."""


def start(inputs: CheckInputs, *, process_index: int) -> TaskFunction:
    """Return a function that checks the network and the weights of one peer, given the peer's index.

    The function yields lines for the log, which list how the weights differ from the network. If the network or the
    weights cannot be used, it raises a ``ValueError``, whose message is one sentence.

    Args:
        inputs: The peers to check, and the shape and the classes of the images.
        process_index: The index of the process, which has no effect.
    """

    def perform(peer: int) -> Iterator[str]:
        network, path = inputs.networks[peer], inputs.weights[peer]
        try:
            # The data set may not be packed yet, and any normalisation shows whether the shapes fit.
            half = (0.5,) * inputs.image_shape_CHW[0]
            module = build_adapted(
                network,
                inputs.image_shape_CHW,
                study=Normalization(half, half),
                class_names=inputs.class_names,
                seed=0,
            )
            if path is not None:
                # The weights come first: a checkpoint of another network is the likeliest mistake.
                _, mismatch = fit_to_network(read_weights(path), module)
                yield from mismatch.lines()
                mismatch.check(network.name)
            _check_network(network, module, inputs.image_shape_CHW, num_classes=len(inputs.class_names))
        except ValueError as error:
            raise ValueError(f"peers.given[{peer}].{error}") from error

    return perform


def _check_network(
    network: PeerNetwork, module: nn.Module, image_shape_CHW: tuple[int, int, int], *, num_classes: int
) -> None:
    """Check that a network can be trained, and maps images to logits in training mode and in evaluation mode.

    Raises:
        ValueError: If the network fails a check. The message is one sentence about ``network``.
    """
    shared = _shared_tensors(module)
    if shared:
        raise ValueError(
            f"network must have each tensor under one name, and {network} shares one between {' and '.join(shared)}."
        )
    shape = "x".join(map(str, image_shape_CHW))
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn((_BATCH_SIZE, *image_shape_CHW), generator=generator)
    with torch.random.fork_rng(devices=[]):
        for mode in ("evaluation", "training"):
            module.train(mode == "training")
            try:
                logits_BK = module(images_BCHW)
            except Exception as error:
                raise ValueError(
                    f"network must accept the images of the data set, of shape {shape}, and {network} raised "
                    f"{describe_error(error)}."
                ) from error
            if not isinstance(logits_BK, Tensor) or tuple(logits_BK.shape) != (_BATCH_SIZE, num_classes):
                found = (
                    f"shape {tuple(logits_BK.shape)}"
                    if isinstance(logits_BK, Tensor)
                    else f"a value of type {plain(type(logits_BK).__name__)}"
                )
                raise ValueError(
                    f"network must return one logit for each of the {num_classes} classes in {mode} mode, of shape "
                    f"({_BATCH_SIZE}, {num_classes}) for {_BATCH_SIZE} images, and {network} returned {found}."
                )
            if not logits_BK.is_floating_point() or not bool(logits_BK.isfinite().all()):
                raise ValueError(
                    f"network must return finite logits in {mode} mode, and {network} did not for random images."
                )
    if not logits_BK.requires_grad:
        raise ValueError(f"network must have parameters that can be trained, and {network} has none.")


def _shared_tensors(module: nn.Module) -> tuple[str, str] | None:
    """Return two names under which a network contains the same tensor; None if each tensor has one name.

    A network that contains a tensor under two names is refused: weights are stored by name, so the tensor would be read
    as two tensors.
    """
    names: dict[int, str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        first = names.setdefault(id(tensor), name)
        if first != name:
            return first, name
    return None
