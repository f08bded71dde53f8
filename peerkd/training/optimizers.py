"""The optimiser and the schedule of the learning rate, from a recipe."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from peerkd.config.training import RecipeConfig


def sgd_directions(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor], momenta: Sequence[Tensor], *, recipe: RecipeConfig
) -> list[Tensor]:
    """Return the direction of a step of SGD for each parameter, and update the momenta in place.

    The step subtracts the learning rate times the direction. The rule is the one in torch's documentation of
    ``torch.optim.SGD``, without dampening. With weight decay d and momentum m it is::

        g <- gradient + d * parameter
        v <- m * v + g
        direction = g + m * v    if the recipe has Nesterov momentum
        direction = v            if it does not

    If m is 0, v is not used, and the direction is g.

    Every engine takes its directions from this function, and does the subtraction itself. Some engines round the
    product of learning rate and direction before the subtraction and others do not, so their results may differ in the
    last bits.

    Args:
        parameters: The parameters, which are not changed.
        gradients: The gradients of the parameters, which are not changed.
        momenta: v of each parameter, zeros before its first step. If m is 0, they are neither read nor changed.
        recipe: Weight decay, momentum, nesterov.
    """
    parameters, gradients, momenta = list(parameters), list(gradients), list(momenta)
    if recipe.weight_decay:
        gradients = list(torch._foreach_add(gradients, parameters, alpha=recipe.weight_decay))
    if not recipe.momentum:
        return gradients
    # v <- m * v + g in two roundings, as in torch.optim.SGD. From v = 0 this is torch's first step, v = g.
    torch._foreach_mul_(momenta, recipe.momentum)
    torch._foreach_add_(momenta, gradients)
    return list(torch._foreach_add(gradients, momenta, alpha=recipe.momentum)) if recipe.nesterov else momenta


class Sgd:
    """An optimiser for one network with the same results as ``torch.optim.SGD``, to the last bit.

    Each step receives its learning rate. torch's own class is not used, because its constructor imports torch's
    compiler, which takes longer than the rest of a process's start.

    Args:
        network: The network, whose parameters are changed in place.
        recipe: Momentum and weight decay.
        momenta: The momentum of each parameter, by name, at the end of an earlier training that is continued. The
            tensors are copied. None begins a new training.
    """

    def __init__(self, network: nn.Module, recipe: RecipeConfig, momenta: Mapping[str, Tensor] | None = None) -> None:
        self._recipe = recipe
        self._parameters: dict[str, Tensor] = dict(network.named_parameters())
        self._momenta: dict[str, Tensor] = {}
        self.restore_momenta(momenta or {})

    @property
    def momenta(self) -> dict[str, Tensor]:
        """The momentum of each parameter that has one, by the parameter's name."""
        return dict(self._momenta)

    def restore_momenta(self, momenta: Mapping[str, Tensor]) -> None:
        """Set the momenta to copies of earlier ones, each with the layout and on the device of its parameter.

        Args:
            momenta: The momenta that the property ``momenta`` returned earlier, by name of the parameter.
        """
        for name, momentum in momenta.items():
            self._momenta[name] = torch.empty_like(self._parameters[name]).copy_(momentum).detach()

    def zero_grad(self) -> None:
        """Discard all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient."""
        changing = {name: each for name, each in self._parameters.items() if each.grad is not None}
        parameters = list(changing.values())
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        momenta = [self._momentum(name) for name in changing] if self._recipe.momentum else []
        directions = sgd_directions(parameters, gradients, momenta, recipe=self._recipe)
        torch._foreach_add_(parameters, directions, alpha=-learning_rate)

    def _momentum(self, name: str) -> Tensor:
        if name not in self._momenta:
            self._momenta[name] = torch.zeros_like(self._parameters[name])
        return self._momenta[name]


def learning_rate_at(step: int, *, num_steps: int, recipe: RecipeConfig, learning_rate: float | None = None) -> float:
    """Return the learning rate of a step, according to the schedule of a recipe.

    Let ``rate`` be the learning rate of the first step. With the schedule ``constant``, the learning rate is always
    ``rate``. With ``cosine`` it is ``rate * (1 + cos(pi * step / num_steps)) / 2`` (Loshchilov and Hutter 2017,
    arXiv:1608.03983, eq. 5, with a minimum rate of 0 and no restart). With ``multistep`` it is ``rate * decay_factor **
    n``, where n is the number of milestones that have been passed.

    Args:
        step: The step, counted from 0 over all epochs.
        num_steps: The number of steps of all epochs.
        recipe: The schedule and the learning rate of the first step.
        learning_rate: The learning rate of the first step, in place of the one in the recipe. None means the one in the
            recipe.
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
