"""Curriculum temperature against its formulas written out, and against autograd with gradient reversal."""

import math

import pytest
import torch
from torch import Tensor

from peerkd.losses.pairs.ctkd import LOSS
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import distillation_term
from peerkd.training.own_temperature import OwnTemperature
from tests.pair_losses import random_logits

STUDENTS_BK, TEACHERS_BK = random_logits(0), random_logits(1)


class Reversed(torch.autograd.Function):
    """Gradient reversal: the identity, whose gradient is multiplied by ``-lambda``."""

    @staticmethod
    def forward(ctx, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return -ctx.factor * gradient, None


def test_it_is_that_of_a_parameter_which_sgd_trains_through_a_gradient_reversal() -> None:
    """The authors' code trains theta in this way, with the optimiser of the student."""
    theta, momentum = torch.ones((), dtype=torch.float64, requires_grad=True), 0.0
    own = OwnTemperature(distillation_term(LOSS, curriculum_fraction=0.5))
    for step in range(1, 9):
        strength = (1 - math.cos(math.pi * min(step / 4, 1))) / 2
        temperature = 1 + 20 * torch.sigmoid(Reversed.apply(theta, strength))
        assert own.value == pytest.approx(temperature.item(), rel=1e-12)
        loss = (
            0.3
            * temperature**2
            * torch.nn.functional.kl_div(
                (STUDENTS_BK / temperature).log_softmax(-1),
                (TEACHERS_BK / temperature).softmax(-1),
                reduction="batchmean",
            )
        )
        slope, gradient = torch.autograd.grad(loss, (temperature, theta))
        with torch.no_grad():
            momentum = 0.9 * momentum + gradient + 5e-4 * theta
            theta -= 0.5 * momentum
        own.step(StepFacts(step / 8, learning_rate=0.5, cross_entropy_gap=0.0, temperature_slope=slope.item()))
    assert own.value != pytest.approx(1 + 20 / (1 + math.exp(-1)), abs=0.01)


def test_it_moves_to_where_the_loss_is_larger_and_stays_between_its_bounds() -> None:
    for slope in (-1.0, 1.0):
        own = OwnTemperature(distillation_term(LOSS))
        first = own.value
        own.step(StepFacts(0.1, learning_rate=0.1, cross_entropy_gap=0.0, temperature_slope=slope))
        assert (own.value > first) == (slope > 0)
        for _ in range(100):
            own.step(StepFacts(1.0, learning_rate=10.0, cross_entropy_gap=0.0, temperature_slope=slope))
        assert 1.0 <= own.value <= 21.0
