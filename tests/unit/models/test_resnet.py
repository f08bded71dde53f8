import math

import pytest
import torch
from torch import nn

from peerkd.models.build import num_parameters
from peerkd.models.resnet import cifar_resnet, resnet18

COLOUR = (3, 32, 32)
OPTION_B = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
"""Parameters of the two 1x1 shortcuts with their batch normalisation, which the original pads with zeros instead."""


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_the_published_ones_but_for_the_shortcuts(depth: int, published: float) -> None:
    # He et al. 2016, table 6, in millions.
    num = num_parameters(cifar_resnet(depth=depth, image_shape_CHW=COLOUR, num_classes=10)) - OPTION_B
    assert round(num / 1e6, 2 if published < 1 else 1) == published


def test_resnet18_has_the_parameters_of_the_common_cifar_form() -> None:
    # 11.17 million, as https://github.com/kuangliu/pytorch-cifar has it.
    assert num_parameters(resnet18(image_shape_CHW=COLOUR, num_classes=10)) == 11_173_962


@pytest.mark.parametrize("depth", [20, 32, 56])
def test_the_depth_is_the_number_of_weighted_layers(depth: int) -> None:
    network = cifar_resnet(depth=depth, image_shape_CHW=COLOUR, num_classes=10)
    kernels = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)]
    assert len(kernels) + 1 == depth


@pytest.mark.parametrize("depth", [2, 3, 18, 21, -4, 0])
def test_a_depth_of_another_form_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"^depth must be 6n \+ 2, got {depth}\.$"):
        cifar_resnet(depth=depth, image_shape_CHW=COLOUR, num_classes=10)


def test_maps_are_of_32_16_and_8_pixels_in_the_cifar_network() -> None:
    network = cifar_resnet(depth=20, image_shape_CHW=COLOUR, num_classes=10).eval()
    features = network.stem(torch.zeros(1, *COLOUR))
    shapes = [tuple(features.shape[1:])]
    for stage in network.stages:
        features = stage(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_resnet18_keeps_all_pixels_up_to_its_first_stage() -> None:
    network = resnet18(image_shape_CHW=COLOUR, num_classes=10).eval()
    seen: list[tuple[int, ...]] = []
    network.layer1.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
    network.layer4.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
    network(torch.zeros(1, *COLOUR))
    assert seen == [(64, 32, 32), (512, 4, 4)]


@pytest.mark.parametrize("build", [lambda **sizes: cifar_resnet(depth=20, **sizes), resnet18])
def test_kernels_start_as_he_et_al_2015_say(build) -> None:
    torch.manual_seed(0)
    network = build(image_shape_CHW=COLOUR, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
