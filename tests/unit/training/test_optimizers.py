import math
import subprocess
import sys

import pytest
import torch

from peerkd.config.training import RecipeConfig
from peerkd.training.optimizers import Sgd, learning_rate_at


def rates(num_steps=8, **recipe):
    config = RecipeConfig(learning_rate=0.4, **recipe)
    return [learning_rate_at(step, num_steps=num_steps, recipe=config) for step in range(num_steps)]


def test_a_constant_rate_does_not_change():
    assert rates(schedule="constant") == [0.4] * 8


def test_a_cosine_rate_starts_full_halves_midway_and_ends_near_nothing():
    values = rates(schedule="cosine")
    assert values[0] == 0.4
    assert values[4] == pytest.approx(0.2)
    assert values[7] == pytest.approx(0.2 * (1 + math.cos(math.pi * 7 / 8)))


def test_a_multistep_rate_falls_at_each_milestone():
    values = rates(schedule="multistep", milestone_fractions=(0.5, 0.75), decay_factor=0.1)
    assert values == pytest.approx([0.4] * 4 + [0.04] * 2 + [0.004] * 2)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "multistep"])
def test_a_schedule_scales_with_the_given_rate(schedule):
    recipe = RecipeConfig(learning_rate=0.4, schedule=schedule)
    of_ones_own = [learning_rate_at(step, num_steps=8, recipe=recipe, learning_rate=0.05) for step in range(8)]
    assert of_ones_own == [rate / 8 for rate in rates(schedule=schedule)]
    assert learning_rate_at(3, num_steps=8, recipe=recipe, learning_rate=0.4) == rates(schedule=schedule)[3]


def test_a_step_is_that_of_sgd_with_nesterov_momentum_and_weight_decay():
    layer = torch.nn.Linear(1, 1, bias=False)
    weight = layer.weight.item()
    recipe = RecipeConfig(learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    optimizer = Sgd(layer, recipe)
    momentum = 0.0
    for rate in (0.1, 0.05):
        optimizer.zero_grad()
        (3 * layer.weight.sum()).backward()
        optimizer.step(rate)
        gradient = 3 + 0.01 * weight
        momentum = 0.9 * momentum + gradient
        weight -= rate * (gradient + 0.9 * momentum)
        assert layer.weight.item() == pytest.approx(weight, rel=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_equals_torchs_own_bit_for_bit_and_continues_from_momenta(momentum):
    recipe = RecipeConfig(learning_rate=0.1, momentum=momentum, nesterov=momentum > 0, weight_decay=0.01)
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=momentum, nesterov=momentum > 0, weight_decay=0.01, foreach=True
    )
    momenta = None
    for rate in (0.1, 0.05, 0.025):
        images_NCHW = torch.randn(2, 3, 5, 5)
        own = Sgd(ours, recipe, momenta)
        for network in (ours, theirs):
            network.zero_grad()
            network(images_NCHW).square().mean().backward()
        own.step(rate)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        momenta = own.momenta
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert set(momenta) == ({"weight", "bias"} if momentum else set())


def test_a_parameter_without_a_gradient_does_not_change():
    layer = torch.nn.Linear(2, 2)
    before = layer.bias.clone()
    optimizer = Sgd(layer, RecipeConfig(learning_rate=0.1, weight_decay=0.01))
    layer.weight.sum().backward()
    optimizer.step(0.1)
    assert torch.equal(layer.bias, before)
    assert set(optimizer.momenta) == {"weight"}
    optimizer.zero_grad()
    assert layer.weight.grad is None


def test_a_training_imports_no_compiler():
    program = """
import sys
import torch
from peerkd.config.training import RecipeConfig
from peerkd.models.build import build_network
from peerkd.training.optimizers import Sgd

network = build_network("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=10, seed=0)
optimizer = Sgd(network, RecipeConfig(learning_rate=0.1))
network(torch.zeros(2, 1, 8, 8)).square().mean().backward()
optimizer.step(0.1)
print("torch._dynamo" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("False\n", "")
