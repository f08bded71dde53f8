"""Networks as a user's package has them: factories, good ones and bad ones. Tests import this module by its name."""

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def tiny(num_classes: int, channels: int = 1) -> nn.Module:
    """A network that peerkd does not know, with dropout."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )


def tiny_rgb(num_classes: int) -> nn.Module:
    return tiny(num_classes, channels=3)


def raises(num_classes: int) -> nn.Module:
    raise RuntimeError("the hub is away\nand more")


def no_module(num_classes: int) -> Any:
    return {"classes": num_classes}


def one_class_more(num_classes: int) -> nn.Module:
    return tiny(num_classes + 1)


class _Odd(nn.Module):
    def __init__(self, num_classes: int, *, returns: str) -> None:
        super().__init__()
        self.linear = nn.Linear(64, num_classes)
        self.returns = returns

    def forward(self, images: Tensor) -> Any:
        logits = self.linear(images.flatten(1))
        match self.returns:
            case "pair":
                return logits, logits
            case "nan":
                return logits * float("nan")
            case "constant":
                return logits.detach()
        raise AssertionError(self.returns)


def pair(num_classes: int) -> nn.Module:
    return _Odd(num_classes, returns="pair")


def not_finite(num_classes: int) -> nn.Module:
    return _Odd(num_classes, returns="nan")


def constant(num_classes: int) -> nn.Module:
    return _Odd(num_classes, returns="constant")


def frozen(num_classes: int) -> nn.Module:
    return tiny(num_classes).requires_grad_(False)


def double(num_classes: int) -> nn.Module:
    return tiny(num_classes).double()


def with_softmax(num_classes: int) -> nn.Module:
    return nn.Sequential(tiny(num_classes), nn.Softmax(dim=1))


def tied(num_classes: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, num_classes))
    network[2].weight = network[1].weight
    return network


not_a_function = torch.zeros(1)


class _Convolution(nn.Module):
    """A convolution and a linear layer, the parts of networks that the check of given peers must refuse."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.linear = nn.Linear(4 * 64, num_classes)

    def features(self, images: Tensor) -> Tensor:
        return F.relu(self.convolution(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.features(images).flatten(1))


class Viewed(_Convolution):
    """It flattens by ``view``, which contiguous memory alone allows."""

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.features(images).view(len(images), -1))


class DropoutInEvaluation(_Convolution):
    def features(self, images: Tensor) -> Tensor:
        return F.dropout(super().features(images), 0.5)


class Squeezed(_Convolution):
    """It drops the dimension of a batch of one image."""

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.features(images).flatten(1).squeeze())


class BatchStatistics(_Convolution):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)

    def features(self, images: Tensor) -> Tensor:
        return self.norm(super().features(images))


class ChangesImages(_Convolution):
    def features(self, images: Tensor) -> Tensor:
        return super().features(images.sub_(0.5))


class DrawnWhenBuilt(_Convolution):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("scale", torch.rand(4, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        return super().features(images) * self.scale


class CopiesOfItsState(_Convolution):
    """Its ``state_dict`` has copies, into which weights are read without an effect."""

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        return {name: tensor.clone() for name, tensor in super().state_dict(*arguments, **options).items()}


class RandomNumbersOfPython(_Convolution):
    def features(self, images: Tensor) -> Tensor:
        return super().features(images) * (random.random() if self.training else 1.0)


class CountsCalls(_Convolution):
    num_calls = 0

    def features(self, images: Tensor) -> Tensor:
        self.num_calls += self.training
        return super().features(images) * (1 + self.num_calls)


class NoBackwardPass(_Convolution):
    def features(self, images: Tensor) -> Tensor:
        return torch.exp(super().features(images)).mul_(2)


class WithoutShapes(nn.Sequential):
    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))


class MoreThanTensors(_Convolution):
    def get_extra_state(self) -> Any:
        return {"epoch": 3}


class PartlyFrozen(_Convolution):
    """It has a parameter that is not trained, and one that no logit depends on."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.convolution.weight.requires_grad_(False)
        self.unused = nn.Parameter(torch.zeros(3))


class WithDropout(_Convolution):
    def forward(self, images: Tensor) -> Tensor:
        return self.linear(F.dropout(self.features(images).flatten(1), 0.3, training=self.training))


def same_memory(num_classes: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, num_classes))
    network[2].weight = nn.Parameter(network[1].weight.data)
    return network


def leaves(num_classes: int) -> nn.Module:
    raise SystemExit(2)
