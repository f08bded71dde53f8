"""The optimiser of all programs except peerkd: SGD of torch in the variant that is fastest on the CPU."""

import torch
from torch import nn

from peerkd.config.training import RecipeConfig


def torch_sgd(network: nn.Module, recipe: RecipeConfig) -> torch.optim.SGD:
    """Return SGD with ``foreach`` and the values of a recipe. The caller sets the learning rate before every step."""
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        foreach=True,
    )
