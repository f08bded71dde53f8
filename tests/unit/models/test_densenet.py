import math

import torch
from torch import nn

from peerkd.models.densenet import densenet40_12

COLOUR = (3, 32, 32)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return densenet40_12(image_shape_CHW=COLOUR, num_classes=10)


def test_the_depth_is_the_number_of_weighted_layers() -> None:
    weighted = [module for module in network().modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 40


def test_a_layer_adds_12_channels_and_a_transition_halves_channels_and_image_size() -> None:
    maps = torch.zeros(1, *COLOUR)
    shapes = []
    built = network().eval()
    for block in (built.stem, built.stage1, built.stage2, built.stage3):
        maps = block(maps)
        shapes.append(tuple(maps.shape[1:]))
    # (24 + 72) / 2, (48 + 72) / 2, 60 + 72.
    assert shapes == [(24, 32, 32), (48, 16, 16), (60, 8, 8), (132, 8, 8)]


def test_a_layer_keeps_its_input() -> None:
    layer = network().stage1[0]
    maps_BCHW = torch.randn(2, 24, 4, 4, generator=torch.Generator().manual_seed(0))
    output_BCHW = layer(maps_BCHW)
    assert output_BCHW.shape == (2, 36, 4, 4)
    assert torch.equal(output_BCHW[:, :24], maps_BCHW)


def test_features_are_rectified() -> None:
    built = network()
    images_BCHW = torch.randn(2, *COLOUR, generator=torch.Generator().manual_seed(0))
    assert built[:-1](images_BCHW).min() >= 0


def test_kernels_start_as_in_he_et_al_2015_with_fan_in() -> None:
    built = network()
    for module in built.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 1000:
            fan_in = module.in_channels * math.prod(module.kernel_size)
            assert math.isclose(module.weight.std().item(), math.sqrt(2 / fan_in), rel_tol=0.1)
    assert not built.classifier.bias.any()
