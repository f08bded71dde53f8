import re
import sys
from importlib import import_module

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.models.build import ARCHITECTURES, build_network, num_parameters
from tests.architectures import QUICK_OR_SLOW

GREY, COLOUR = (1, 8, 8), (3, 32, 32)


def weights(architecture: str, *, seed: int) -> dict[str, torch.Tensor]:
    network = build_network(architecture, image_shape_CHW=GREY, num_classes=10, seed=seed)
    return dict(network.named_parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_only_networks_for_imagenet_have_max_pooling_with_windows_that_overlap(architecture: str) -> None:
    """``peerkd.training.captured.graphs`` says so, because a GPU adds the gradients of such windows in any order."""
    with torch.device("meta"):
        network = build_network(architecture, image_shape_CHW=COLOUR, num_classes=10, seed=0)
    poolings = [module for module in network.modules() if isinstance(module, torch.nn.MaxPool2d)]
    overlap = any(pooling.kernel_size != pooling.stride for pooling in poolings)
    assert overlap == (ARCHITECTURE_FACTS[architecture].module == "imagenet")


@pytest.mark.parametrize(
    ("architecture", "num_grey", "num_colour"),
    [
        ("mlp", 8_970, 201_482),
        ("small_cnn", 6_138, 6_426),
        ("resnet18", 11_172_810, 11_173_962),
        ("resnet20", 272_186, 272_474),
        ("resnet32", 466_618, 466_906),
        ("resnet56", 855_482, 855_770),
        ("resnet110", 1_147_450, 1_147_738),
        ("wrn20_8", 6_847_802, 6_848_090),
        ("densenet40_12", 175_690, 176_122),
        ("vgg16", 15_252_426, 15_253_578),
        ("resnet18_imagenet", 11_175_370, 11_181_642),
        ("resnet34_imagenet", 21_283_530, 21_289_802),
        ("resnet50_imagenet", 23_522_250, 23_528_522),
        ("resnext50_imagenet", 22_994_122, 23_000_394),
    ],
)
def test_the_number_of_parameters_is_pinned(architecture: str, num_grey: int, num_colour: int) -> None:
    for image_shape_CHW, expected in ((GREY, num_grey), (COLOUR, num_colour)):
        with torch.device("meta"):
            network = build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=10, seed=0)
        assert num_parameters(network) == expected


def test_buffers_are_not_counted_as_parameters() -> None:
    assert num_parameters(torch.nn.BatchNorm2d(7)) == 2 * 7


@pytest.mark.parametrize(
    ("architecture", "num_millions", "num_multiply_adds_millions"),
    [
        ("resnet32", "0.473", "69.1"),
        ("resnet110", "1.171", "167.5"),
        ("vgg16", "15.300", "313.8"),
        ("densenet40_12", "0.188", "72.4"),
        ("wrn20_8", "6.871", "1022.8"),
    ],
)
def test_the_networks_of_the_published_tables_have_their_size(
    architecture: str, num_millions: str, num_multiply_adds_millions: str
) -> None:
    # The numbers for 100 classes are those of the networks in the code of OKDDip (DefangChen/OKDDip, commit c6a05de).
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = build_network(architecture, image_shape_CHW=COLOUR, num_classes=100, seed=0).eval()
        network(torch.zeros(1, *COLOUR))
    assert f"{num_parameters(network) / 1e6:.3f}" == num_millions
    assert f"{counter.get_total_flops() / 2e6:.1f}" == num_multiply_adds_millions


@pytest.mark.parametrize("image_shape_CHW", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("architecture", QUICK_OR_SLOW)
def test_every_architecture_trains_on_grey_digits_and_on_colour_images(
    architecture: str, image_shape_CHW: tuple[int, int, int]
) -> None:
    # Digits are enlarged for architectures that need larger images.
    channels, size, _ = image_shape_CHW
    size = max(size, ARCHITECTURE_FACTS[architecture].min_image_size_pixels)
    network = build_network(architecture, image_shape_CHW=(channels, size, size), num_classes=7, seed=0).train()
    images_BCHW = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    logits_BK = network(images_BCHW)
    assert logits_BK.shape == (2, 7)
    logits_BK.square().sum().backward()
    unused = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert unused == []


@pytest.mark.parametrize("architecture", QUICK_OR_SLOW)
def test_weights_depend_only_on_the_seed_and_the_state_of_the_global_generator_does_not_change(
    architecture: str,
) -> None:
    first = weights(architecture, seed=1)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again, other = weights(architecture, seed=1), weights(architecture, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    # Matrices and kernels are random; batch normalisation starts at one and zero for every seed.
    drawn = [name for name in first if first[name].dim() > 1]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_the_generators_of_the_gpus_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    weights("mlp", seed=1)
    assert seeded == []


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    message = f"architecture must be one of {', '.join(ARCHITECTURES)}, got vgg."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build_network("vgg", image_shape_CHW=GREY, num_classes=10, seed=0)


def test_a_small_network_does_not_import_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("peerkd", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    # The import of a module that is None fails.
    monkeypatch.setitem(sys.modules, "torchvision", None)
    build = import_module("peerkd.models.build")
    build.build_network("small_cnn", image_shape_CHW=GREY, num_classes=10, seed=0)
    with pytest.raises(ImportError, match="torchvision"):
        build.build_network("resnet20", image_shape_CHW=GREY, num_classes=10, seed=0)
