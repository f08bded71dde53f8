"""The optimiser and its schedule, from a recipe."""

import math

import torch
from torch import nn

from peerkd.config.training import RecipeConfig


def build_optimizer(network: nn.Module, recipe: RecipeConfig) -> torch.optim.SGD:
    """Build SGD with momentum as ``recipe`` says; the rate is set anew before every step."""
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        foreach=True,
    )


def learning_rate_at(step: int, *, num_steps: int, recipe: RecipeConfig) -> float:
    """Return the learning rate of step ``step`` of ``num_steps``, counted from 0.

    cosine: ``rate * (1 + cos(pi * step / num_steps)) / 2`` (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5).
    multistep: ``rate * decay_factor ** (milestones passed)``.
    """
    progress = step / num_steps
    match recipe.schedule:
        case "constant":
            factor = 1.0
        case "cosine":
            factor = (1 + math.cos(math.pi * progress)) / 2
        case "multistep":
            factor = recipe.decay_factor ** sum(progress >= milestone for milestone in recipe.milestone_fractions)
    return recipe.learning_rate * factor


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
