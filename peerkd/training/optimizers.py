"""The optimiser and its schedule, from a recipe."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

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


def momenta_of(optimizer: torch.optim.Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Return the momentum of each parameter that has one, by the parameter's name."""
    states = {name: optimizer.state[parameter] for name, parameter in network.named_parameters()}
    return {
        name: state["momentum_buffer"] for name, state in states.items() if state.get("momentum_buffer") is not None
    }


def restore_momenta(optimizer: torch.optim.Optimizer, network: nn.Module, momenta: Mapping[str, Tensor]) -> None:
    """Give an optimiser what ``momenta_of`` returned."""
    for name, parameter in network.named_parameters():
        if name in momenta:
            optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momenta[name])
