"""Tests of the blocks of every architecture against the promises of ``build_network`` and the config."""

import pytest
import torch
from torch import nn

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.models.build import ARCHITECTURES, build_network
from tests.architectures import QUICK_OR_SLOW


def build(architecture: str, *, size: int) -> nn.Sequential:
    return build_network(architecture, image_shape_CHW=(3, size, size), num_classes=7, seed=0).train()


def images(*, size: int) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_blocks_are_those_of_the_config(architecture: str) -> None:
    facts = ARCHITECTURE_FACTS[architecture]
    with torch.device("meta"):
        network = build(architecture, size=facts.min_image_size_pixels)
    names = [name for name, _ in network.named_children()]
    assert tuple(names) == facts.blocks
    assert names[-1] == "classifier"
    assert (names[-2] == "pool") == facts.has_maps


@pytest.mark.parametrize("architecture", QUICK_OR_SLOW)
def test_the_pool_returns_features_and_the_classifier_logits(architecture: str) -> None:
    facts = ARCHITECTURE_FACTS[architecture]
    network = build(architecture, size=32)
    maps = network[:-2](images(size=32))
    features_BF = network[-2](maps)
    assert maps.dim() == (4 if facts.has_maps else 2)
    assert features_BF.dim() == 2
    assert network.classifier(features_BF).shape == (2, 7)


@pytest.mark.parametrize("architecture", QUICK_OR_SLOW)
def test_no_block_changes_its_input(architecture: str) -> None:
    values = images(size=32)
    for block in build(architecture, size=32):
        before = values.clone()
        after = block(values)
        assert torch.equal(values, before)
        values = after


@pytest.mark.parametrize("architecture", QUICK_OR_SLOW)
def test_the_smallest_image_of_the_config_is_the_smallest_that_every_layer_can_halve(architecture: str) -> None:
    least = ARCHITECTURE_FACTS[architecture].min_image_size_pixels
    assert reduces_throughout(architecture, size=least)
    assert least == 1 or not reduces_throughout(architecture, size=least // 2)


def reduces_throughout(architecture: str, *, size: int) -> bool:
    """Return whether a network can be trained on two images and every layer that shrinks maps can still do so."""
    network = build(architecture, size=size)
    reduced: list[bool] = []
    for module in network.modules():
        if getattr(module, "stride", 1) in (2, (2, 2)) and not list(module.children()):
            module.register_forward_pre_hook(lambda _, inputs: reduced.append(min(inputs[0].shape[2:]) >= 2))
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_pre_hook(
                lambda pool, inputs: reduced.append(min(inputs[0].shape[2:]) >= pool.output_size)
            )
    try:
        network(images(size=size)).square().sum().backward()
    except RuntimeError as error:
        if "Output size is too small" not in str(error):
            raise
        return False
    return all(reduced)
