import math

import pytest
import torch

from peerkd.config.training import RecipeConfig
from peerkd.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate


def rates(num_steps=8, **recipe):
    config = RecipeConfig(learning_rate=0.4, **recipe)
    return [learning_rate_at(step, num_steps=num_steps, recipe=config) for step in range(num_steps)]


def test_a_constant_rate_stays():
    assert rates(schedule="constant") == [0.4] * 8


def test_a_cosine_rate_starts_full_halves_midway_and_ends_near_nothing():
    values = rates(schedule="cosine")
    assert values[0] == 0.4
    assert values[4] == pytest.approx(0.2)
    assert values[7] == pytest.approx(0.2 * (1 + math.cos(math.pi * 7 / 8)))


def test_a_multistep_rate_falls_at_each_milestone():
    values = rates(schedule="multistep", milestone_fractions=(0.5, 0.75), decay_factor=0.1)
    assert values == pytest.approx([0.4] * 4 + [0.04] * 2 + [0.004] * 2)


def test_a_step_is_that_of_sgd_with_nesterov_momentum_and_weight_decay():
    layer = torch.nn.Linear(1, 1, bias=False)
    weight = layer.weight.item()
    recipe = RecipeConfig(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    optimizer = build_optimizer(layer, recipe)
    momentum = 0.0
    for rate in (0.1, 0.05):
        set_learning_rate(optimizer, rate)
        optimizer.zero_grad()
        (3 * layer.weight.sum()).backward()
        optimizer.step()
        gradient = 3 + 0.01 * weight
        momentum = 0.9 * momentum + gradient
        weight -= rate * (gradient + 0.9 * momentum)
        assert layer.weight.item() == pytest.approx(weight, rel=1e-5)
