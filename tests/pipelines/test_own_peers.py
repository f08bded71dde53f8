"""Ten networks that were trained without peerkd, and the ten folders of images that they were trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from peerkd.results.table import read_table
from tests.own_networks import tiny_rgb

NUM_PEERS = 10
MEAN, STD = 0.4, 0.3
SETTINGS: dict[str, Any] = {
    "name": "ten-hospitals",
    "data": {"source": "peers"},
    "distill": {"epochs": 1, "batch_size": 16},
    "sweep": {"temperatures": [1], "alphas": [0.5], "transfer_sets": ["student"]},
    "compute": {"device": "cpu"},
}


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


NETWORKS: list[tuple[str, Callable[[int], nn.Module]]] = [
    ("mlp", linear),
    ("small_cnn", convolutions),
    ("tests.own_networks:tiny_rgb", tiny_rgb),
]


def write_folder(root: Path, images: Any, labels: Any, classes: list[int]) -> None:
    """Write a folder with train, val and test splits, as a hospital has it."""
    for split, name in enumerate(("train", "val", "test")):
        for k in classes:
            (root / name / f"digit {k}").mkdir(parents=True)
            own = np.flatnonzero(labels == k)
            for index in own[split::3] if split else own[::3]:
                Image.fromarray(images[index]).save(root / name / f"digit {k}" / f"{index}.png")


def read_folder(root: Path, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Read a split as somebody does who has never heard of peerkd."""
    paths = [(path, number) for number, k in enumerate(classes) for path in (root / f"digit {k}").iterdir()]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in paths]).transpose(0, 3, 1, 2)
    images = (torch.from_numpy(pixels.copy()).float() / 255 - MEAN) / STD
    return images, torch.tensor([number for _, number in paths])


def train(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20):
        for batch in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], list[float]]:
    """Checkpoints and folders of ten hospitals; returns the config's entries and the accuracies on own tests."""
    root = tmp_path_factory.mktemp("hospitals")
    torch.manual_seed(0)
    digits = load_digits()
    images = (digits.images * (255 / 16)).astype(np.uint8)
    entries, accuracies = [], []
    for peer in range(NUM_PEERS):
        classes = [(peer + k) % 10 for k in range(7 + peer % 4)]
        own = np.arange(peer, len(images), NUM_PEERS)
        folder = root / f"hospital {peer}"
        write_folder(folder / "images", images[own], digits.target[own], classes)
        name, build = NETWORKS[peer % len(NETWORKS)]
        network = build(len(classes))
        train(network, *read_folder(folder / "images" / "train", classes))
        weights = folder / ("best.pt" if peer % 2 else "best.safetensors")
        (torch.save if peer % 2 else save_file)(network.state_dict(), weights)
        test_images, test_labels = read_folder(folder / "images" / "test", classes)
        accuracies.append(float((network.eval()(test_images).argmax(1) == test_labels).double().mean()))
        entries.append(
            {
                "name": f"hospital {peer}",
                "network": name,
                "weights": str(weights),
                "data": str(folder / "images"),
                "classes": [f"digit {k}" for k in classes],
                "mean": [MEAN] * 3,
                "std": [STD] * 3,
            }
        )
    return root, entries, accuracies


def test_ten_checkpoints_and_ten_folders_take_part_by_one_command(hospitals, run_here, tmp_path, capsys) -> None:
    _, entries, accuracies = hospitals
    file, output = tmp_path / "hospitals.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump({**SETTINGS, "peers": {"given": entries}}), encoding="utf-8")
    assert run_here(output, (), "--config", str(file)) == 0
    said = capsys.readouterr().out
    assert "hospital 3 has " in said
    assert "ten-hospitals: 90 ordered pairs of 10 peers" in said
    (folder,) = (path.parent for path in output.glob("pretrain_peers/*/manifest.json"))
    records = json.loads((folder / "manifest.json").read_text())["metadata"]["peers"]
    # Each peer was imported as it is: to the last tensor, and to the last sample of its own test split.
    assert [record["test_own_accuracy"] for record in records] == pytest.approx(accuracies, abs=1e-12)
    for peer, entry in enumerate(entries):
        given = torch.load(entry["weights"]) if entry["weights"].endswith(".pt") else load_file(entry["weights"])
        imported = load_file(folder / f"peer-{peer:03d}.safetensors")
        assert given.keys() == imported.keys()
        assert all(torch.equal(given[name], imported[name]) for name in given)
    (table,) = output.glob("distill_pairs/*/trials.parquet")
    trials = read_table(table)
    assert trials.num_rows == 90 + 10
    assert all(trials["is_finite"].to_pylist())


def test_a_mistake_in_one_of_ten_is_refused_before_any_training(hospitals, run_here, tmp_path, capsys) -> None:
    _, entries, _ = hospitals
    swapped = [{**entry} for entry in entries]
    swapped[4]["weights"] = entries[3]["weights"]
    file, output = tmp_path / "hospitals.yaml", tmp_path / "runs"
    file.write_text(yaml.safe_dump({**SETTINGS, "peers": {"given": swapped}}), encoding="utf-8")
    assert run_here(output, (), "--config", str(file)) == 2
    outcome = capsys.readouterr()
    assert "peerkd: peers.given[4].weights must fit the network small_cnn, got " in outcome.err
    assert "peer 4 (hospital 4): 12 missing: " in outcome.out
    assert not list(output.glob("*/*/manifest.json"))
