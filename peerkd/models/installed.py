"""Networks of installed packages: those of torchvision and timm, and the factories of users' own packages.

Only the config of a run names the network, and with it the module that is imported. A checkpoint or a file in the store
never names a module to import, because importing a module executes its code.

Shape suffixes: B = batch, C = image channels, H W = image size, K = classes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from peerkd.excerpt import plain
from peerkd.own_code import describe_error, import_attribute, nearest


def build_installed(name: str, *, num_classes: int, seed: int) -> nn.Module:
    """Build a network of an installed package, with untrained weights that depend only on ``seed``.

    Args:
        name: ``torchvision:NAME``, ``timm:NAME`` or ``module:factory``.
        num_classes: The number of outputs, K.
        seed: The seed of torch's global generator while the network is built. Afterwards the generator has the same
            state as before.

    Raises:
        ValueError: If the package is not installed, has no such network, or fails to build it, or if the network has
            anything but tensors in its ``state_dict``. The message is one sentence that begins with ``network``, the
            name of the config field.
    """
    library, _, rest = name.partition(":")
    factory = _LIBRARIES[library](rest) if library in _LIBRARIES else _find_factory(library, rest)
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of the GPUs, which are not forked.
        torch.default_generator.manual_seed(seed)
        try:
            network = factory(num_classes=num_classes)
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"network must be built by a call with num_classes={num_classes}, and {name} raised "
                f"{describe_error(error)}."
            ) from error
    if not isinstance(network, nn.Module):
        # A ValueError, not a TypeError: the mistake is in the user's package, not in a caller's argument.
        raise ValueError(  # noqa: TRY004
            f"network must be a torch.nn.Module, got {plain(type(network).__name__)} from {name}."
        )
    for tensor_name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor) or is_lazy(tensor):
            kind = "a tensor without a shape" if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
            raise ValueError(
                f"network must have nothing but tensors of known shapes in its state_dict, got {plain(kind)} from "
                f"{name}, called {plain(tensor_name)}."
            )
    return network


def _find_torchvision(name: str) -> Callable[..., Any]:
    models = import_module("torchvision.models")
    if name not in (names := models.list_models()):
        raise ValueError(f"network must be a network of torchvision{nearest(name, names)}, got torchvision:{name}.")
    return partial(models.get_model, name, weights=None)


def _find_timm(name: str) -> Callable[..., Any]:
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise ValueError(
            f"network timm:{name} needs the package timm, which is not installed; install it with pip install "
            "'peerkd[timm]'."
        ) from error
    if not timm.is_model(name):
        raise ValueError(f"network must be a network of timm{nearest(name, timm.list_models())}, got timm:{name}.")
    # The checkpoint of the config is the only source of weights.
    return partial(timm.create_model, name, pretrained=False)


def _find_factory(module: str, function: str) -> Callable[..., Any]:
    factory = import_attribute(module, function, field="network", noun="function")
    if not callable(factory):
        raise ValueError(  # noqa: TRY004 - as above
            f"network must name a function of the module {module}, got {function}."
        )
    found: Callable[..., Any] = factory
    return found


_LIBRARIES: Final[Mapping[str, Callable[[str], Callable[..., Any]]]] = {
    "torchvision": _find_torchvision,
    "timm": _find_timm,
}
