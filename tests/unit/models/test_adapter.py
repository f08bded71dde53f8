"""The adapter of a network that was trained elsewhere: its images and its classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peerkd.losses.pairs.loss import MAX_TEMPERATURE, MISSING_CLASS_LOGIT
from peerkd.models.adapter import Normalization, adapt_input, adapt_output

STUDY = Normalization((0.1, 0.5, 0.7), (0.2, 0.4, 0.3))
OWN = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Seen(nn.Module):
    """Keeps the images that it is called with."""

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        return images.flatten(1)[:, :3]


def seen(pixels: Tensor, *, study: Normalization, own: Normalization | None, size: int | None) -> Tensor:
    network = Seen()
    adapt_input(network, study=study, own=own, image_size_pixels=size)
    network(study.apply(pixels))
    return network.images


def test_images_are_normalised_as_the_network_was_trained() -> None:
    pixels = torch.rand(4, 3, 8, 8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (OWN.mean, OWN.std))
    torch.testing.assert_close(seen(pixels, study=STUDY, own=OWN, size=None), (pixels - mean) / std)


def test_images_are_resized_before_the_network_sees_them() -> None:
    pixels = torch.rand(2, 3, 8, 12)
    resized = F.interpolate(pixels, size=(6, 6), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen(pixels, study=STUDY, own=OWN, size=6), OWN.apply(resized))
    torch.testing.assert_close(seen(pixels, study=STUDY, own=None, size=6), STUDY.apply(resized))


def test_grey_images_become_three_channels_and_colours_become_grey() -> None:
    grey, colour = Normalization((0.3,), (0.2,)), torch.rand(2, 3, 4, 4)
    pixels = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(seen(pixels, study=grey, own=OWN, size=None), OWN.apply(pixels.repeat(1, 3, 1, 1)))
    luma = 0.299 * colour[:, :1] + 0.587 * colour[:, 1:2] + 0.114 * colour[:, 2:]
    torch.testing.assert_close(seen(colour, study=STUDY, own=grey, size=None), grey.apply(luma))


@pytest.mark.parametrize("temperature", [0.1, 1.0, MAX_TEMPERATURE])
def test_a_class_that_a_network_does_not_know_has_the_probability_0_at_every_temperature(temperature: float) -> None:
    network = nn.Linear(5, 3)
    plain = nn.functional.linear(x := torch.randn(4, 5), network.weight, network.bias)
    adapt_output(network, classes=[4, 0, 2], num_classes=5)
    logits = network(x)
    assert torch.equal(logits[:, [4, 0, 2]], plain)
    assert (logits[:, [1, 3]] == MISSING_CLASS_LOGIT).all()
    probabilities = (logits / temperature).softmax(1)
    assert (probabilities[:, [1, 3]] == 0).all()
    torch.testing.assert_close(probabilities[:, [4, 0, 2]], (plain / temperature).softmax(1))


def test_the_state_and_the_gradients_are_those_of_the_network_itself() -> None:
    network = nn.Linear(5, 2)
    names = list(network.state_dict())
    adapt_output(network, classes=[1, 0], num_classes=3)
    assert list(network.state_dict()) == names
    x = torch.randn(4, 5)
    F.cross_entropy(network(x), torch.tensor([1, 0, 1, 0])).backward()
    gradient, network.weight.grad = network.weight.grad, None
    F.cross_entropy(F.linear(x, network.weight, network.bias), torch.tensor([0, 1, 0, 1])).backward()
    torch.testing.assert_close(gradient, network.weight.grad)


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    network = nn.Linear(5, 4)
    adapt_output(network, classes=[0, 1, 2], num_classes=5)
    with pytest.raises(ValueError, match=r"one logit for each of its 3 classes, got shape \(2, 4\)"):
        network(torch.zeros(2, 5))


def test_a_network_that_was_evaluated_first_can_be_trained() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    adapt_input(network, study=STUDY, own=OWN, image_size_pixels=6)
    adapt_output(network, classes=[2, 0], num_classes=3)
    images = torch.randn(2, 3, 8, 8)
    with torch.inference_mode():
        evaluated = network(images)
    trained = network(images)
    trained[:, 0].sum().backward()
    assert torch.equal(evaluated, trained)
    assert network[0].weight.grad.abs().sum() > 0
