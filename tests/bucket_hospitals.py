"""Three hospitals whose weights and images are in a bucket, and the config of a study that reads nothing else.

The hospitals differ in their network, in the classes that it knows, and in the form of their data.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from minio import Minio
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torchvision.models import get_model

from tests import hospitals as plain

NUM_IMAGES = 450
NUM_EPOCHS = 3
"""The number of epochs of the hospitals' own training. After so few of them, every network can still become better."""

IMAGE_SIZE_PIXELS = 32
"""The size of the images that the third network takes. The images of the hospitals have 8x8 pixels."""

SETTINGS: dict[str, Any] = {
    "name": "hospitals-in-a-bucket",
    "data": {"source": "peers"},
    "distill": {"epochs": 5, "batch_size": 16},
    "sweep": {"temperatures": [1], "alphas": [0.5], "transfer_sets": ["student"]},
    "compute": {"device": "cpu"},
}
"""A study of nine trials: six ordered pairs, and a control for each of the three students."""


class _Resized(nn.Module):
    """A network that takes images of any size, and gives them to another one in the size that it needs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        size = (IMAGE_SIZE_PIXELS, IMAGE_SIZE_PIXELS)
        logits: Tensor = self.network(F.interpolate(images, size=size, mode="bilinear", antialias=True))
        return logits


def _shufflenet(num_classes: int) -> nn.Module:
    network: nn.Module = get_model("shufflenet_v2_x0_5", weights=None, num_classes=num_classes)
    return network


def _image_files(root: Path) -> dict[str, bytes]:
    return {f"images/{path.relative_to(root)}": path.read_bytes() for path in sorted(root.rglob("*.png"))}


def _npz_file(root: Path) -> dict[str, bytes]:
    return {"images.npz": _written(np.savez, **_arrays(root))}


def _npy_files(root: Path) -> dict[str, bytes]:
    return {f"arrays/{name}.npy": _written(np.save, array) for name, array in _arrays(root).items()}


def _arrays(root: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for split in ("train", "val", "test"):
        paths = sorted((root / split).rglob("*.png"))
        arrays[f"{split}_images"] = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        arrays[f"{split}_labels"] = np.array([path.parent.name for path in paths])
    return arrays


def _written(write: Callable[..., None], *arrays: np.ndarray, **named: np.ndarray) -> bytes:
    file = io.BytesIO()
    write(file, *arrays, **named)
    return file.getvalue()


@dataclass(frozen=True)
class Kind:
    """What distinguishes a hospital from the others."""

    name: str
    network: str
    build: Callable[[int], nn.Module]
    digits: Sequence[int]
    """The classes of its images, in the order of the network's outputs."""

    weights: str
    data: str
    objects_of: Callable[[Path], dict[str, bytes]]
    """Returns the objects with the images in a folder, by name."""

    image_size_pixels: int | None = None

    @property
    def classes(self) -> list[str]:
        """The names of the classes."""
        return [f"digit {k}" for k in self.digits]

    def entry(self, address: str) -> dict[str, Any]:
        """Return the entry of the hospital in a config, if its objects are below an address."""
        fields = {
            "name": self.name,
            "network": self.network,
            "weights": f"{address}/{self.name}/{self.weights}",
            "data": f"{address}/{self.name}/{self.data}",
            "classes": self.classes,
            "mean": [plain.MEAN] * 3,
            "std": [plain.STD] * 3,
            "image_size_pixels": self.image_size_pixels,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def takes_images(self, network: nn.Module) -> nn.Module:
        """Return a network that takes the images of the hospitals, of 8x8 pixels."""
        return network if self.image_size_pixels is None else _Resized(network)


KINDS = (
    Kind("north", "mlp", plain.linear, range(8), "best.safetensors", "images", _image_files),
    Kind("south", "small_cnn", plain.convolutions, range(10), "best.pt", "images.npz", _npz_file),
    Kind(
        "east",
        "torchvision:shufflenet_v2_x0_5",
        _shufflenet,
        range(9, 1, -1),
        "best.safetensors",
        "arrays",
        _npy_files,
        IMAGE_SIZE_PIXELS,
    ),
)


@dataclass(frozen=True)
class Hospitals:
    """Hospitals in a bucket, and what a person needs to check their networks without peerkd."""

    kinds: Sequence[Kind]
    config: dict[str, Any]
    folders: tuple[Path, ...]
    """The images of the test split of each hospital, on this machine."""

    accuracies: tuple[float, ...]
    """The accuracy of each network on its hospital's test split, before the study."""

    def measure(self, student: int, weights: Path) -> dict[str, float]:
        """Return the accuracies of a file of weights on the own and on the global test set, by a plain loop."""
        kind = self.kinds[student]
        network = kind.build(len(kind.classes))
        network.load_state_dict(load_file(weights))
        own, all_of_them = self.folders[student : student + 1], self.folders
        return {
            f"test_{scope}_accuracy": plain.accuracy(kind.takes_images(network), kind.classes, folders)
            for scope, folders in (("own", own), ("global", all_of_them))
        }


def send_hospitals(
    client: Minio, bucket: str, prefix: str, folder: Path, *, kinds: Sequence[Kind] = KINDS
) -> Hospitals:
    """Train the networks of the hospitals by a plain loop, and upload weights and images below a prefix.

    Args:
        client: A client of the server.
        bucket: An existing bucket.
        prefix: The beginning of the names of all objects.
        folder: A folder of this machine, in which the images are made.
        kinds: The hospitals.
    """
    torch.manual_seed(0)
    digits = load_digits()
    images = (digits.images * (255 / 16)).astype(np.uint8)
    accuracies = []
    for number, kind in enumerate(kinds):
        own, root = np.arange(number, NUM_IMAGES, len(kinds)), folder / kind.name
        plain.write_folder(root, images[own], digits.target[own], sorted(kind.digits))
        network = kind.build(len(kind.digits))
        samples = plain.read_folder(root / "train", kind.classes)
        plain.train(kind.takes_images(network), *samples, num_epochs=NUM_EPOCHS)
        accuracies.append(plain.accuracy(kind.takes_images(network), kind.classes, [root / "test"]))
        contents = {kind.weights: _written_weights(network, kind.weights), **kind.objects_of(root)}
        for name, content in contents.items():
            client.put_object(bucket, f"{prefix}/{kind.name}/{name}", io.BytesIO(content), len(content))
    given = [kind.entry(f"s3://{bucket}/{prefix}") for kind in kinds]
    return Hospitals(
        kinds=kinds,
        config={**SETTINGS, "peers": {"given": given}},
        folders=tuple(folder / kind.name / "test" for kind in kinds),
        accuracies=tuple(accuracies),
    )


def read_card(file: Path) -> dict[str, Any]:
    """Return the model card in a safetensors file that ``peerkd export`` has written."""
    with safe_open(file, framework="pt") as opened:
        card: dict[str, Any] = json.loads(opened.metadata()["card"])
    return card


def _written_weights(network: nn.Module, name: str) -> bytes:
    if name.endswith(".safetensors"):
        return save(network.state_dict())
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    return file.getvalue()
