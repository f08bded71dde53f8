import math
from functools import partial

import pytest
import torch
import torchvision
from torch import nn

from peerkd.models.build import num_parameters
from peerkd.models.resnet import cifar_resnet, resnet18, resnet110, wrn20_8

COLOUR = (3, 32, 32)
OPTION_B = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
"""The number of parameters of the two 1x1 shortcuts with batch normalisation, in place of padding with zeros."""


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_the_number_of_parameters_is_the_published_one_except_for_the_shortcuts(depth: int, published: float) -> None:
    # He et al. 2016, table 6, in millions.
    num = num_parameters(cifar_resnet(depth=depth, image_shape_CHW=COLOUR, num_classes=10)) - OPTION_B
    assert round(num / 1e6, 2 if published < 1 else 1) == published


def test_resnet18_has_the_number_of_parameters_of_its_common_cifar_form() -> None:
    # https://github.com/kuangliu/pytorch-cifar states 11.17 million.
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


@pytest.mark.parametrize("build", [partial(cifar_resnet, depth=20), resnet110, wrn20_8])
def test_the_maps_of_cifar_networks_have_32_16_and_8_pixels(build) -> None:
    network = build(image_shape_CHW=COLOUR, num_classes=10).eval()
    expansion = network.classifier.in_features // 64
    assert shapes(network)[:4] == [
        (16, 32, 32),
        (16 * expansion, 32, 32),
        (32 * expansion, 16, 16),
        (64 * expansion, 8, 8),
    ]


def test_resnet18_keeps_all_pixels_up_to_its_first_stage() -> None:
    network = resnet18(image_shape_CHW=COLOUR, num_classes=10).eval()
    assert shapes(network)[:5] == [(64, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]


def test_resnet18_equals_that_of_torchvision_except_for_the_stem() -> None:
    torch.manual_seed(0)
    network = resnet18(image_shape_CHW=COLOUR, num_classes=10)
    torch.manual_seed(0)
    reference = torchvision.models.resnet18(num_classes=10)
    reference.conv1, reference.maxpool = network.stem[0], nn.Identity()
    weights, expected = list(network.parameters()), list(reference.parameters())
    assert len(weights) == len(expected)
    assert all(torch.equal(weight, other) for weight, other in zip(weights, expected, strict=True))
    images_BCHW = torch.randn(4, *COLOUR, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(images_BCHW), reference(images_BCHW))


def test_a_wide_network_has_eight_times_the_channels_inside_its_bottlenecks() -> None:
    network = wrn20_8(image_shape_CHW=COLOUR, num_classes=10)
    widths = [stage[0].conv2.out_channels for stage in (network.stage1, network.stage2, network.stage3)]
    assert widths == [8 * 16, 8 * 32, 8 * 64]


def test_the_stride_is_on_the_convolution_of_three_by_three() -> None:
    network = resnet110(image_shape_CHW=COLOUR, num_classes=10)
    assert [network.stage2[0].conv1.stride, network.stage2[0].conv2.stride] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("build", [partial(cifar_resnet, depth=20), resnet110, wrn20_8, resnet18])
def test_kernels_start_as_in_he_et_al_2015(build) -> None:
    torch.manual_seed(0)
    network = build(image_shape_CHW=COLOUR, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)


def shapes(network: nn.Sequential) -> list[tuple[int, ...]]:
    """Return the shape of one image after each block."""
    found = []
    values = torch.zeros(1, *COLOUR)
    for block in network:
        values = block(values)
        found.append(tuple(values.shape[1:]))
    return found
