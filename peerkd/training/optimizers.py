"""The optimiser and its schedule, from a recipe."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from peerkd.config.training import RecipeConfig


class Sgd:
    """``torch.optim.SGD`` of one network, whose rate is given with each step.

    Made of the function that torch's class is made of, and equal to it bit for bit. The class itself loads torch's
    compiler when one is made, which takes a worker longer than all the rest of its start.

    Args:
        network: Its parameters are changed in place.
        recipe: Momentum and weight decay.
        momenta: Of each parameter, by name, if this goes on from an earlier training; copied.
    """

    def __init__(self, network: nn.Module, recipe: RecipeConfig, momenta: Mapping[str, Tensor] | None = None) -> None:
        self._recipe = recipe
        self._parameters: dict[str, Tensor] = dict(network.named_parameters())
        self._momenta: dict[str, Tensor | None] = dict.fromkeys(self._parameters)
        self.restore_momenta(momenta or {})

    @property
    def momenta(self) -> dict[str, Tensor]:
        """The momentum of each parameter that has one, by the parameter's name."""
        return {name: momentum for name, momentum in self._momenta.items() if momentum is not None}

    def restore_momenta(self, momenta: Mapping[str, Tensor]) -> None:
        """Take copies of what ``momenta`` gave, in the layout and on the device of each parameter."""
        for name, momentum in momenta.items():
            self._momenta[name] = torch.empty_like(self._parameters[name]).copy_(momentum).detach()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""
        names = [name for name, parameter in self._parameters.items() if parameter.grad is not None]
        parameters = [self._parameters[name] for name in names]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self._momenta[name] for name in names]
        sgd(
            parameters,
            gradients,
            momenta,
            foreach=True,
            weight_decay=self._recipe.weight_decay,
            momentum=self._recipe.momentum,
            lr=learning_rate,
            dampening=0,
            nesterov=self._recipe.nesterov,
            maximize=False,
        )
        self._momenta.update(zip(names, momenta, strict=True))


def learning_rate_at(step: int, *, num_steps: int, recipe: RecipeConfig, learning_rate: float | None = None) -> float:
    """Return the learning rate of step ``step`` of ``num_steps``, counted from 0.

    cosine: ``rate * (1 + cos(pi * step / num_steps)) / 2`` (Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5).
    multistep: ``rate * decay_factor ** (milestones passed)``.

    Args:
        step: Of all epochs together.
        num_steps: Of all epochs together.
        recipe: Schedule and rate.
        learning_rate: Of the first step, in place of the recipe's. None: the recipe's.
    """
    progress = step / num_steps
    match recipe.schedule:
        case "constant":
            factor = 1.0
        case "cosine":
            factor = (1 + math.cos(math.pi * progress)) / 2
        case "multistep":
            factor = recipe.decay_factor ** sum(progress >= milestone for milestone in recipe.milestone_fractions)
    return (recipe.learning_rate if learning_rate is None else learning_rate) * factor
