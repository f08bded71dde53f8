"""Messages about a data set from the stages that read and divide it."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.pipelines import JOINTKD, PCL
from peerkd.config.resolve import resolve
from peerkd.data.partition.assignment import Assignment
from peerkd.stages.command import find_stage
from peerkd.stages.partition_data import partition
from peerkd.stages.split_data import split

MAPPING = "4 classes: label 1 is class 0; label 2 is class 1; label 3 is class 2; label 9 is class 3"
SPLIT = "val_images is the validation split, on which every choice is made"
UNSEEN = "1 class without a test sample, so no reported accuracy counts it: class 9 (1 sample in all)."
UNCHOSEN = "1 class without a validation sample, so no choice considers it: class 9 (1 sample in all)."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """120 training, 30 validation and 30 test images of the labels 1, 2 and 3, and one image of label 9."""
    labels = 1 + np.arange(180) % 3
    labels[4] = 9
    images = np.random.default_rng(0).integers(0, 256, (180, 8, 8), dtype=np.uint8)
    bounds = {"train": slice(0, 120), "val": slice(120, 150), "test": slice(150, 180)}
    arrays = {f"{name}_images": images[part] for name, part in bounds.items()}
    arrays |= {f"{name}_labels": labels[part, None] for name, part in bounds.items()}
    np.savez(tmp_path / "letters.npz", **arrays)
    return tmp_path / "letters.npz"


@pytest.mark.parametrize("stage", ["partition_data", "split_data"])
def test_remarks_on_a_data_set_are_printed_and_stored(
    tmp_path: Path, path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FilesystemStore(tmp_path / "store")
    data = f"data.source=npz data.path={path}"
    if stage == "split_data":
        config = resolve(PCL, preset="digits", overrides=data)
        manifests = [split(config, store) for _ in range(2)]
    else:
        experiment = resolve(JOINTKD, preset="digits", overrides=f"{data} partition.num_peers=2")
        manifests = [partition(experiment, store) for _ in range(2)]
    said = capsys.readouterr().out.splitlines()
    lines = [f"peerkd | {stage}: letters: {MAPPING}", f"peerkd | {stage}: letters: {SPLIT}"]
    lines += [f"peerkd | {stage}: warning: {sentence}" for sentence in (UNCHOSEN, UNSEEN)]
    # The second time, the data set comes from the store, and all lines are printed again.
    assert [line for line in said if line in lines] == lines * 2
    assert manifests[0] == manifests[1]
    metadata = manifests[0].metadata
    assert {UNSEEN, UNCHOSEN} <= set(metadata["warnings"])
    assert metadata["class_names"] == ["1", "2", "3", "9"]
    assignment = Assignment.load(store.fetch(manifests[0].key))
    assert assignment.validation.tolist() == list(range(120, 150))
    assert assignment.test.tolist() == list(range(150, 180))
    assert sorted(np.concatenate(assignment.train)) == list(range(120))

    dataset = store.find(metadata["inputs"]["dataset"]["key"])
    assert dataset.metadata["label_values"] == [1, 2, 3, 9]
    assert dataset.metadata["remarks"] == [MAPPING, SPLIT]
    packed = json.loads((store.fetch(dataset.key) / "dataset.json").read_text())
    assert (packed["class_names"], packed["label_values"]) == (["1", "2", "3", "9"], [1, 2, 3, 9])
    assert packed["num_validation"] == 30


def test_a_warning_about_batches_follows_from_the_run_and_not_from_the_store(
    tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FilesystemStore(tmp_path / "store")
    settings = f"data.source=npz data.path={path} partition.num_peers=2 pretrain.batch_size="
    manifests = []
    for batch_size in (3, 100):
        manifests.append(partition(resolve(JOINTKD, preset="digits", overrides=f"{settings}{batch_size}"), store))
        assert ("a batch of 100 (pretrain.batch_size)" in capsys.readouterr().out) is (batch_size == 100)
    assert manifests[0] == manifests[1]
    assert not [sentence for sentence in manifests[0].metadata["warnings"] if "batch" in sentence]


@pytest.mark.parametrize("stage", ["pretrain_peers", "train_pcl"])
def test_data_sets_with_the_same_labels_and_other_images_share_no_network(tmp_path: Path, stage: str) -> None:
    """Both are divided into the same indices, so only the keys of their divisions differ."""
    store, rng, found = FilesystemStore(tmp_path / "store"), np.random.default_rng(0), []
    pipeline, settings = (PCL, "") if stage == "train_pcl" else (JOINTKD, "partition.num_peers=2")
    for name in "ab":
        images = rng.integers(0, 256, (160, 8, 8), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(160) % 2)
        source = (
            f"data.source=npz data.path={tmp_path / name}.npz data.max_train_samples=null data.max_test_samples=null"
        )
        config = resolve(pipeline, preset="digits", overrides=f"{source} {settings}")
        divide = split if stage == "train_pcl" else partial(partition, num_processes=0)
        division = divide(config, store)
        found.append((division.fingerprint, find_stage(stage).key(config, division)))
    (one, key), (two, other_key) = found
    assert one == two
    assert key != other_key
    assert sum(each.startswith("run/") for each in store.keys()) == 2  # noqa: SIM118
