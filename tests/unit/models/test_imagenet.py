import pytest
import torch
import torchvision

from peerkd.models.build import num_parameters
from peerkd.models.imagenet import imagenet_resnet

NAMES = ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"]


@pytest.mark.parametrize("name", NAMES)
def test_a_network_equals_that_of_torchvision(name: str) -> None:
    torch.manual_seed(0)
    network = imagenet_resnet(name=name, image_shape_CHW=(3, 64, 64), num_classes=1000).eval()
    torch.manual_seed(0)
    reference = getattr(torchvision.models, name)().eval()
    assert num_parameters(network) == num_parameters(reference)
    pairs = zip(network.parameters(), reference.parameters(), strict=True)
    assert all(torch.equal(weight, expected) for weight, expected in pairs)
    images_BCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(images_BCHW), reference(images_BCHW))


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnext50_32x4d", 25_028_904)],
)
def test_the_number_of_parameters_is_the_published_one(name: str, published: int) -> None:
    # https://docs.pytorch.org/vision/stable/models.html
    assert num_parameters(imagenet_resnet(name=name, image_shape_CHW=(3, 224, 224), num_classes=1000)) == published


@pytest.mark.parametrize("name", NAMES)
def test_the_stem_for_grey_images_has_one_channel(name: str) -> None:
    network = imagenet_resnet(name=name, image_shape_CHW=(1, 64, 64), num_classes=5).eval()
    colour = imagenet_resnet(name=name, image_shape_CHW=(3, 64, 64), num_classes=5)
    assert num_parameters(colour) - num_parameters(network) == 2 * 64 * 7 * 7
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 5)


def test_the_stem_reduces_height_and_width_to_a_quarter() -> None:
    network = imagenet_resnet(name="resnet18", image_shape_CHW=(3, 64, 96), num_classes=5).eval()
    assert network.stem(torch.zeros(1, 3, 64, 96)).shape == (1, 64, 16, 24)
