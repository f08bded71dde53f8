"""What ten hospitals have: networks, folders of images, and a plain loop of torch. Nothing here knows peerkd."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

MEAN, STD = 0.4, 0.3


def linear(num_classes: int) -> nn.Module:
    """The tensors of peerkd's mlp, by the names that it gives them."""
    network = nn.Sequential()
    network.add_module("hidden1", nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 64), nn.ReLU()))
    network.add_module("hidden2", nn.Sequential(nn.Linear(64, 64), nn.ReLU()))
    network.add_module("classifier", nn.Linear(64, num_classes))
    return network


def convolutions(num_classes: int) -> nn.Module:
    """The tensors of peerkd's small_cnn, by the names that it gives them."""
    network = nn.Sequential()
    first = (nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    network.add_module("stage1", nn.Sequential(*first))
    network.add_module("stage2", nn.Sequential(*second))
    network.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()))
    network.add_module("classifier", nn.Linear(128, num_classes))
    return network


def write_folder(root: Path, images: Any, labels: Any, classes: list[int]) -> None:
    """Write a folder with train, val and test splits, as a hospital has it."""
    for split, name in enumerate(("train", "val", "test")):
        for k in classes:
            (root / name / f"digit {k}").mkdir(parents=True)
            own = np.flatnonzero(labels == k)
            for index in own[split::3] if split else own[::3]:
                Image.fromarray(images[index]).save(root / name / f"digit {k}" / f"{index}.png")


def read_folder(root: Path, classes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the normalised images of a split, and the position of each label among the classes."""
    paths = [(path, number) for number, name in enumerate(classes) for path in (root / name).iterdir()]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in paths]).transpose(0, 3, 1, 2)
    images = (torch.from_numpy(pixels.copy()).float() / 255 - MEAN) / STD
    return images, torch.tensor([number for _, number in paths])


def train(network: nn.Module, images: Tensor, labels: Tensor, *, num_epochs: int = 20) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(num_epochs):
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()


@torch.inference_mode()
def accuracy(network: nn.Module, outputs: Sequence[str], folders: Iterable[Path]) -> float:
    """Return the share of the images in folders whose class is that of the network's largest output."""
    network.eval()
    num_right = num_images = 0
    for folder in folders:
        names = sorted(path.name for path in folder.iterdir())
        images, labels = read_folder(folder, names)
        predicted = [outputs[number] for number in network(images).argmax(dim=1)]
        num_right += sum(name == names[label] for name, label in zip(predicted, labels, strict=True))
        num_images += len(labels)
    return num_right / num_images


def builders(factory: Callable[[int], nn.Module]) -> list[Callable[[int], nn.Module]]:
    """Return the three networks, in the order in which the hospitals take turns."""
    return [linear, convolutions, factory]
