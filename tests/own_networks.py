"""Networks as a user's package has them: factories, good ones and bad ones. Tests import this module by its name."""

from typing import Any

import torch
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


def tied(num_classes: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, num_classes))
    network[2].weight = network[1].weight
    return network


not_a_function = torch.zeros(1)
