"""The check that a network can be trained here, and that its logits follow from its state and its images alone.

A run stores the ``state_dict`` of a network, repeats trials in any order and in any process, and uses one module for
all peers that have the same network. Whatever else the logits depend on would change results without notice.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from collections.abc import Callable
from typing import Final, Literal

import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.excerpt import plain
from peerkd.models.adapter import OutputError
from peerkd.own_code import describe_error
from peerkd.training.checkpoints import copy_state

_BATCH_SIZE: Final = 3
"""The number of random images on which each network is called. It is the smallest size of a batch in training."""

_TOLERANCE: Final = 1e-3
"""The largest difference, as a fraction of the largest logit, between the logits of an image alone and in a batch.

Rounding makes a difference of about 1e-6, because an image alone is computed by other kernels."""

_Mode = Literal["evaluation", "training"]

_DROPOUT: Final = "dropout, for example, must depend on self.training"
_BUFFERS: Final = "what it remembers must be in buffers, and its random numbers must be those of torch"


def check_network(
    network: PeerNetwork, build: Callable[[int], nn.Module], image_shape_CHW: tuple[int, int, int], *, num_classes: int
) -> None:
    """Check that a network maps images to logits, in training mode and in evaluation mode.

    For a network of another package, also check that its logits depend only on its state, the images and the seed of
    torch.

    Args:
        network: The network, for error messages.
        build: A function that builds the network with untrained weights, given their seed.
        image_shape_CHW: The shape of the images of the study.
        num_classes: The number of classes of the study, K.

    Raises:
        ValueError: If the network fails a check. The message is one sentence about ``network``.
    """
    module = build(0)
    shared = _shared_tensors(module)
    if shared:
        raise ValueError(
            f"network must have each tensor under one name, and {network} shares one between {' and '.join(shared)}."
        )
    images_BCHW = random_images(image_shape_CHW)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        if network.is_built_in:
            for mode in ("evaluation", "training"):
                _logits(network, module, images_BCHW, mode, num_classes=num_classes)
        else:
            _check_training(network, module, images_BCHW, num_classes=num_classes)
            _check_evaluation(network, module, build(1), images_BCHW, num_classes=num_classes)


def random_images(image_shape_CHW: tuple[int, int, int]) -> Tensor:
    """Return the batch of random images, always the same, on which each network is called: ``images_BCHW``."""
    return torch.randn((_BATCH_SIZE, *image_shape_CHW), generator=torch.Generator().manual_seed(0))


def _check_evaluation(
    network: PeerNetwork, module: nn.Module, twin: nn.Module, images_BCHW: Tensor, *, num_classes: int
) -> None:
    """Check the logits in evaluation mode.

    Args:
        network: The network, for messages.
        module: The module of the network.
        twin: Another module of the network, with other initial weights.
        images_BCHW: The images.
        num_classes: K.
    """

    def logits(of: nn.Module, images_BCHW: Tensor) -> Tensor:
        with torch.no_grad():
            return _logits(network, of, images_BCHW, "evaluation", num_classes=num_classes)

    first_BK = logits(module, images_BCHW)
    if not torch.equal(logits(module, images_BCHW), first_BK):
        raise ValueError(
            f"network must return the same logits for the same images in evaluation mode, and {network} did not; "
            f"{_DROPOUT}."
        )
    alone_1K = logits(module, images_BCHW[:1])
    if float((alone_1K - first_BK[:1]).abs().max()) > _TOLERANCE * float(first_BK.abs().max()):
        raise ValueError(
            f"network must return logits in evaluation mode that do not depend on the other images of a batch, and "
            f"{network} did not; batch normalisation, for example, must keep running statistics."
        )
    if _shapes(twin) != _shapes(module):
        raise ValueError(
            f"network must have the same tensors whenever it is built, and two modules of {network} had not."
        )
    copy_state(module.state_dict(), twin)
    if not torch.equal(logits(twin, images_BCHW), first_BK):
        raise ValueError(
            f"network must return the same logits whenever its state_dict is the same, and two modules of {network} "
            f"did not; tensors that are drawn or computed when it is built must be in its state_dict, as buffers are."
        )


def _check_training(network: PeerNetwork, module: nn.Module, images_BCHW: Tensor, *, num_classes: int) -> None:
    """Check that a step can be done, and that its logits follow from the state of the module and from torch's seed."""
    _logits(network, module, images_BCHW, "evaluation", num_classes=num_classes)
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    steps = []
    for _ in range(2):
        copy_state(state, module)
        torch.default_generator.manual_seed(0)
        logits_BK = _logits(network, module, images_BCHW, "training", num_classes=num_classes)
        try:
            logits_BK.sum().backward()
        except Exception as error:
            raise ValueError(
                f"network must have gradients, and the backward pass of {network} raised {describe_error(error)}."
            ) from error
        steps.append(logits_BK.detach())
    module.zero_grad()
    copy_state(state, module)
    if not torch.equal(*steps):
        raise ValueError(
            "network must return the same logits in training mode for the same images, state_dict and seed of torch, "
            f"and {network} did not; {_BUFFERS}."
        )


def _logits(network: PeerNetwork, module: nn.Module, images_BCHW: Tensor, mode: _Mode, *, num_classes: int) -> Tensor:
    """Return the logits of some images, after checking their shape and that they are finite."""
    num_images, *sizes = images_BCHW.shape
    given_BCHW = images_BCHW.clone()
    module.train(mode == "training")
    try:
        logits_BK = module(given_BCHW)
    except OutputError as error:
        raise ValueError(f"network must return {error} from {network}.") from error
    except Exception as error:
        images = "a single image" if num_images == 1 else "the images"
        raise ValueError(
            f"network must accept {images} of the data set, of shape {'x'.join(map(str, sizes))}, and {network} raised "
            f"{describe_error(error)}{_remedy_of_type(module)}."
        ) from error
    if not isinstance(logits_BK, Tensor) or tuple(logits_BK.shape) != (num_images, num_classes):
        found = (
            f"shape {tuple(logits_BK.shape)}"
            if isinstance(logits_BK, Tensor)
            else f"a value of type {plain(type(logits_BK).__name__)}"
        )
        raise ValueError(
            f"network must return one logit for each of the {num_classes} classes in {mode} mode, of shape "
            f"({num_images}, {num_classes}) for {num_images} image{'s' * (num_images != 1)}, and {network} returned "
            f"{found}."
        )
    if not logits_BK.is_floating_point() or not bool(logits_BK.isfinite().all()):
        raise ValueError(f"network must return finite logits in {mode} mode, and {network} did not for random images.")
    if mode == "training" and not logits_BK.requires_grad:
        if any(parameter.requires_grad for parameter in module.parameters()):
            raise ValueError(
                f"network must return logits with a gradient in training mode, and {network} did not; its forward must "
                "not call detach, nor be computed under torch.no_grad."
            )
        raise ValueError(
            f"network must have parameters that can be trained, and {network} has none with requires_grad=True."
        )
    if not torch.equal(given_BCHW, images_BCHW):
        raise ValueError(f"network must not change the images that it is called with, and {network} did.")
    return logits_BK


def _remedy_of_type(module: nn.Module) -> str:
    """Return what to do if the parameters of a network that fails are not float32, otherwise an empty text."""
    is_float32 = all(parameter.dtype == torch.float32 for parameter in module.parameters())
    return "" if is_float32 else "; return a float32 network from the factory, because images are float32"


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _shared_tensors(module: nn.Module) -> tuple[str, str] | None:
    """Return two names under which a network contains the same memory; None if each name has memory of its own.

    A network that contains a tensor under two names is refused: weights are stored by name, so the tensor would be read
    as two tensors.
    """
    names: dict[tuple[int, int], str] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not tensor.numel():
            continue
        first = names.setdefault((tensor.untyped_storage().data_ptr(), tensor.storage_offset()), name)
        if first != name:
            return first, name
    return None
