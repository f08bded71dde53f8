"""Curriculum temperature (CTKD): the temperature is a parameter that is trained to make the student's task harder.

The temperature depends on a trained number theta: T = lowest_temperature + temperature_range * sigmoid(theta). This is
the variant with one temperature for all samples. Authors' code: github.com/zhengli97/CTKD, commit 7d5252241259.
"""

import math
from typing import Final

from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.loss import PairLoss, Parameter
from peerkd.losses.pairs.temperature_rule import State, StepFacts, TemperatureRule

_START: Final = 1.0
"""The value of theta before the first step."""

# SGD trains theta with these. In the authors' code, theta shares the optimiser of the student.
_MOMENTUM: Final = 0.9
_WEIGHT_DECAY: Final = 5e-4


def start(*, lowest_temperature: float, temperature_range: float, curriculum_fraction: float) -> State:
    """Return the state before the first step: theta, on which the temperature depends, and the momentum of theta."""
    return _START, 0.0


def temperature(
    state: State, *, lowest_temperature: float, temperature_range: float, curriculum_fraction: float
) -> float:
    """Return T, ``lowest_temperature + temperature_range * sigmoid(theta)``; theta is the state's first number."""
    return lowest_temperature + temperature_range * _sigmoid(state[0])


def next_state(
    state: State, facts: StepFacts, *, lowest_temperature: float, temperature_range: float, curriculum_fraction: float
) -> State:
    """Return theta and its momentum after a step of SGD that increases the student's loss.

    Plain SGD would change theta so that the student's loss falls. The gradient is therefore multiplied by ``-lambda``,
    so that the loss rises (gradient reversal). The factor lambda rises from 0 to 1 along half a cosine during the first
    ``curriculum_fraction`` of the training: ``lambda = (1 - cos(pi * min(progress / curriculum_fraction, 1))) / 2``,
    where progress is the share of the training that has been done.
    """
    theta, momentum = state
    reversal = (1 - math.cos(math.pi * min(facts.progress / curriculum_fraction, 1.0))) / 2
    sigmoid = _sigmoid(theta)
    # The chain rule: d sigmoid / d theta = sigmoid (1 - sigmoid).
    slope = facts.temperature_slope * temperature_range * sigmoid * (1 - sigmoid)
    momentum = _MOMENTUM * momentum - reversal * slope + _WEIGHT_DECAY * theta
    return theta - facts.learning_rate * momentum, momentum


def _sigmoid(value: float) -> float:
    # exp(-value) would overflow for a training that diverges.
    return (1 + math.tanh(value / 2)) / 2


LOSS: Final = PairLoss(
    name="ctkd",
    title="KL divergence with curriculum temperature",
    per_sample=kl,
    meaning="D is the KL divergence at a temperature that is trained together with the student, but in the opposite "
    "direction: T moves towards values at which the loss of the student is larger. T moves slowly in the first steps, "
    "and faster as the curriculum goes on. With the default values, T begins at 15.6.",
    formula="KL(p || q)",
    tex=r"\mathrm{KL}(p \Vert q) = \sum_k p_k \log \frac{p_k}{q_k}",
    source="Li et al. 2023, arXiv:2211.16231, with the global temperature of the authors' code",
    parameters=(
        Parameter("lowest_temperature", 1.0, "The lower bound of T.", above=0, at_most=100),
        Parameter("temperature_range", 20.0, "The upper bound of T minus its lower bound.", above=0, at_most=100),
        Parameter(
            "curriculum_fraction",
            10 / 240,
            "The initial share of the training, during which the speed of T rises from 0 to its full value. The paper "
            "takes 10 of 240 epochs.",
            above=0,
            at_most=1,
        ),
    ),
    temperature_rule=TemperatureRule(
        start=start,
        temperature=temperature,
        next_state=next_state,
        formula="T = lowest_temperature + temperature_range * sigmoid(theta); theta begins at 1 and maximises the loss "
        "by gradient ascent, with its gradient times lambda, which rises from 0 to 1",
        tex=r"T = T_{\mathrm{lowest}} + T_{\mathrm{range}} \, \sigma(\theta), \qquad \theta \leftarrow \theta + \eta "
        r"\lambda \frac{\partial \mathrm{loss}}{\partial \theta}, \qquad \lambda = \tfrac{1}{2} \Big(1 - \cos \big(\pi "
        r"\min(\tfrac{\mathrm{progress}}{\mathrm{curriculum\ fraction}}, 1)\big)\Big)",
        needs_slope=True,
    ),
    allows_missing_classes=True,
)
