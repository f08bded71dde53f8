"""A training before its first step."""

import torch
from torch import nn

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import METHODS, Method
from peerkd.config.training import RecipeConfig
from peerkd.models.branched import BranchedNetwork
from peerkd.training.online.group import ALONE, Group
from peerkd.training.online.mean import MeanNetwork
from peerkd.training.online.state import TrainingState
from peerkd.training.optimizers import Sgd


def prepare(
    network: BranchedNetwork,
    *,
    method: Method,
    collaboration: CollaborationConfig,
    recipe: RecipeConfig,
    device: torch.device,
    group: Group = ALONE,
    synchronise_batch_norm: bool = False,
) -> tuple[TrainingState, nn.Module]:
    """Return a network's state before training, and what to call in a step.

    Args:
        network: Moved to the device, in channels-last memory.
        method: Says whether there is a mean over time.
        collaboration: Of the method.
        recipe: Of the optimiser.
        device: Where to train.
        group: The processes that share the training.
        synchronise_batch_norm: As in ``Group.distribute``.

    Raises:
        ValueError: If batch normalisation cannot be synchronised on this device.
    """
    network = network.to(device).to(memory_format=torch.channels_last)
    stepped = group.distribute(network, device=device, synchronise_batch_norm=synchronise_batch_norm)
    mean = None
    if METHODS[method].has_mean_network:
        mean = MeanNetwork(network, ceiling=collaboration.mean_decay, batch_norm=collaboration.mean_batch_norm)
    return TrainingState(network, Sgd(network, recipe), mean=mean), stepped
