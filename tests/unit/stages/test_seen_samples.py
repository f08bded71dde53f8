"""Warnings about evaluation samples on which peers may have been trained."""

from pathlib import Path
from typing import Any

import numpy as np

from peerkd.config.experiment import ExperimentConfig
from peerkd.data.sources import read_source
from peerkd.stages.division import divide
from peerkd.stages.peer_data import read_data
from peerkd.stages.seen_samples import seen_warnings


def warnings(*files: Path, weights: str | None = None, **sections: Any) -> list[str]:
    given = [
        {"name": f"p{number}", "network": "mlp", "data": str(file), "weights": weights}
        for number, file in enumerate(files)
    ]
    config = ExperimentConfig.from_mapping({"data": {"source": "peers"}, "peers": {"given": given}, **sections})
    dataset = read_data("test", config)
    return [*seen_warnings(config, dataset, divide(config, dataset))]


def arrays(path: Path, *, seed: int, splits: tuple[str, ...] = (), copied: Any = None) -> Path:
    values = {}
    for prefix in splits or ("",):
        images = np.random.default_rng(seed).integers(0, 256, (40, 4, 4), dtype=np.uint8)
        seed += 100
        if copied is not None and prefix in ("", "train_"):
            images[: len(copied)] = copied
        values |= {f"{prefix}images": images, f"{prefix}labels": np.arange(40) % 2}
    np.savez(path, **values)
    return path


def test_peers_that_have_nothing_in_common_are_not_mentioned(tmp_path: Path) -> None:
    assert warnings(arrays(tmp_path / "a.npz", seed=0), arrays(tmp_path / "b.npz", seed=1)) == []


def test_one_data_set_for_two_peers_is_mentioned(tmp_path: Path) -> None:
    file = arrays(tmp_path / "a.npz", seed=0)
    (sentence,) = warnings(file, file)
    assert sentence.startswith("Some training images are also in evaluation sets, so accuracies may be too high: ")
    assert " images of peer 0 (p0) in those of peer 1 (p1)" in sentence
    assert " images of peer 1 (p1) in those of peer 0 (p0)" in sentence


def test_images_of_a_test_split_in_the_training_split_of_another_peer_are_counted(tmp_path: Path) -> None:
    splits = ("train_", "val_", "test_")
    north = arrays(tmp_path / "a.npz", seed=0, splits=splits)
    with np.load(north) as opened:
        copied = opened["test_images"][:3]
    south = arrays(tmp_path / "b.npz", seed=7, splits=splits, copied=copied)
    assert warnings(north, south, weights="w.pt") == [
        "Some training images are also in evaluation sets, so accuracies may be too high: 3 images of peer 1 (p1) in "
        "those of peer 0 (p0)."
    ]


def test_given_weights_are_mentioned_if_a_split_is_held_out_here(tmp_path: Path) -> None:
    files = [
        arrays(tmp_path / "a.npz", seed=0, splits=("train_", "val_", "test_")),
        arrays(tmp_path / "b.npz", seed=1),
        arrays(tmp_path / "c.npz", seed=2, splits=("train_", "test_")),
    ]
    assert warnings(*files, weights="w.pt") == [
        "Weights from elsewhere may have been trained on samples that are held out here for evaluation, so their "
        "accuracy before the distillation may be too high, and gains too low: peer 1 (p1), whose data have no "
        "validation and no test split; peer 2 (p2), whose data have no validation split."
    ]


def test_weights_for_parts_of_one_data_set_are_mentioned_too() -> None:
    given = [{"name": name, "network": "mlp", "weights": "w.pt" if name == "a" else None} for name in "ab"]
    config = ExperimentConfig.from_mapping({"peers": {"given": given}})
    dataset = read_source("digits", path=None)
    (sentence,) = seen_warnings(config, dataset, divide(config, dataset))
    assert sentence.endswith("too low: peer 0 (a), whose data have no validation and no test split.")
