"""The optimiser of the other programs: torch's own class in its fastest form on the CPU."""

import torch
from torch import nn

from peerkd.config.training import RecipeConfig


def torch_sgd(network: nn.Module, recipe: RecipeConfig) -> torch.optim.SGD:
    """Return SGD with ``foreach``, with the values of a recipe. The rate is set before every step."""
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        foreach=True,
    )
