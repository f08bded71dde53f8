import math

import torch
from torch import nn

from peerkd.models.vgg import vgg16

COLOUR = (3, 32, 32)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return vgg16(image_shape_CHW=COLOUR, num_classes=10)


def layers(kind: type[nn.Module]) -> list:
    return [module for module in network().modules() if isinstance(module, kind)]


def test_there_are_thirteen_convolutions_and_three_linear_layers() -> None:
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert [layer.out_channels for layer in layers(nn.Conv2d)] == widths
    assert [layer.num_features for layer in layers(nn.BatchNorm2d)] == widths
    assert [(layer.in_features, layer.out_features) for layer in layers(nn.Linear)] == [
        (512, 512),
        (512, 512),
        (512, 10),
    ]


def test_an_image_of_32_pixels_is_reduced_to_one_cell() -> None:
    built = network().eval()
    assert built[: list(dict(built.named_children())).index("pool")](torch.zeros(1, *COLOUR)).shape == (1, 512, 1, 1)


def test_a_larger_image_has_the_same_number_of_features() -> None:
    assert vgg16(image_shape_CHW=(3, 64, 96), num_classes=10).eval()(torch.zeros(1, 3, 64, 96)).shape == (1, 10)


def test_kernels_start_as_in_he_et_al_2015_and_linear_layers_with_one_deviation() -> None:
    for layer in layers(nn.Conv2d):
        assert math.isclose(layer.weight.std().item(), math.sqrt(2 / (9 * layer.out_channels)), rel_tol=0.1)
    for layer in layers(nn.Linear):
        assert math.isclose(layer.weight.std().item(), 0.01, rel_tol=0.1)
    assert not any(layer.bias.any() for layer in [*layers(nn.Conv2d), *layers(nn.Linear)])


def test_training_has_no_dropout() -> None:
    assert layers(nn.Dropout) == []
