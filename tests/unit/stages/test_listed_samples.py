"""Files list the samples of each peer, in place of a partition that is drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peerkd.artifacts.open import open_store
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.dataset import RawDataset
from peerkd.stages.division import divide, division_warnings
from peerkd.stages.partition_data import partition

NUM_TRAIN, NUM_TEST = 60, 30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dataset(num_test: int = NUM_TEST, num_validation: int = 0) -> RawDataset:
    labels = np.arange(NUM_TRAIN + num_validation + num_test) % 3
    return RawDataset(
        images_NCHW=np.zeros((len(labels), 1, 8, 8), np.uint8),
        labels_N=labels,
        num_train=NUM_TRAIN,
        num_validation=num_validation,
        class_names=tuple("abc"),
        columns={},
        name="listed",
    )


def write(path: Path, indices: Any) -> None:
    path.write_text("".join(f"{index}\n" for index in indices))


def listed(*more: str, num_files: int = 2) -> ExperimentConfig:
    files = ",".join(f"{peer}.txt" for peer in range(num_files))
    return resolve(
        JOINTKD,
        preset="digits",
        overrides=" ".join(["partition.label_skew.kind=indices", f"partition.label_skew.files=[{files}]", *more]),
    )


def test_lists_are_taken_as_they_are_with_a_validation_and_a_public_file(folder: Path) -> None:
    write(folder / "0.txt", range(19, -1, -1))
    write(folder / "1.txt", range(20, 35))
    write(folder / "validation.txt", range(40, 50))
    write(folder / "public.txt", range(50, 59))
    config = listed(
        "partition.label_skew.validation_file=validation.txt",
        "partition.label_skew.public_file=public.txt",
        "sweep.transfer_sets=[public]",
    )
    got = divide(config, dataset())
    assert [part.tolist() for part in got.train] == [list(range(20)), list(range(20, 35))]
    assert got.validation.tolist() == list(range(40, 50))
    assert got.public.tolist() == list(range(50, 59))
    assert got.test.tolist() == list(range(60, 90))
    assert division_warnings(config, dataset(), got)[0] == (
        "6 samples of the training split are in no file of partition.label_skew and in no set"
    )


def test_samples_that_are_held_out_are_no_peers_and_this_is_said(folder: Path) -> None:
    write(folder / "0.txt", range(30))
    write(folder / "1.txt", range(30, 60))
    config = listed("data.validation_fraction=0.1")
    got = divide(config, dataset())
    assert len(got.validation) == 6
    assert sorted(np.concatenate([*got.train, got.validation])) == list(range(60))
    assert division_warnings(config, dataset(), got)[0].startswith(
        "6 of the 60 samples that partition.label_skew.files list are held out for validation or testing, and no peer "
        "trains on them; partition.label_skew.validation_file names"
    )


def test_a_validation_split_of_the_data_set_leaves_the_lists_whole(folder: Path) -> None:
    write(folder / "0.txt", range(30))
    write(folder / "1.txt", range(30, 60))
    config = listed()
    source = dataset(num_validation=30)
    got = divide(config, source)
    assert [len(part) for part in got.train] == [30, 30]
    assert got.validation.tolist() == list(range(60, 90))
    assert not any("held out" in sentence for sentence in division_warnings(config, source, got))


def test_a_test_set_that_is_held_out_takes_precedence_over_all_lists(folder: Path) -> None:
    write(folder / "0.txt", range(20))
    write(folder / "1.txt", range(20, 40))
    write(folder / "validation.txt", range(40, 60))
    config = listed("data.test_fraction=0.25", "partition.label_skew.validation_file=validation.txt")
    got = divide(config, dataset(num_test=0))
    assert len(got.test) == 15
    everything = np.concatenate([*got.train, got.validation, got.test])
    assert sorted(everything) == list(range(60))
    assert set(got.validation) <= set(range(40, 60))


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (range(40, 61), r"label_skew\.files\[0\] must contain indices from 0 to 59, .* got 60"),
        (range(10, 21), r"label_skew\.files\[1\] must not contain a sample of another file, got 20, which .*\[0\]"),
        (range(3), r"min_samples_per_peer must be met by every peer"),
    ],
)
def test_lists_that_do_not_fit_are_refused(folder: Path, first: range, message: str) -> None:
    write(folder / "0.txt", first)
    write(folder / "1.txt", range(20, 40))
    with pytest.raises(ValueError, match=message):
        divide(listed(), dataset())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["partition.num_peers=3"], r"num_peers must be 2, the number of files in partition\.label_skew\.files"),
        (["data.max_train_samples=50"], r"max_train_samples must be null when partition\.label_skew\.kind is indices"),
        (["partition.quantity_skew.kind=dirichlet"], r"quantity_skew must be equal when label_skew is indices"),
        (
            ["partition.public_fraction=0.1", "partition.label_skew.public_file=p.txt"],
            r"public_fraction must be 0 when label_skew\.public_file is given, got 0\.1",
        ),
    ],
)
def test_fields_that_contradict_the_lists_are_refused(more: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        listed(*more)


def test_the_key_of_a_partition_follows_the_lists_and_not_their_paths(folder: Path) -> None:
    store = open_store(str(folder / "store"))
    write(folder / "0.txt", range(100))
    write(folder / "1.txt", range(100, 200))
    first = partition(listed(), store, num_processes=0)
    (folder / "1.txt").rename(folder / "other.npy")
    np.save(folder / "other.npy", np.arange(100, 200))
    moved = listed("partition.label_skew.files=[0.txt,other.npy]")
    assert partition(moved, store, num_processes=0).key == first.key
    np.save(folder / "other.npy", np.arange(100, 201))
    changed = partition(moved, store, num_processes=0)
    assert changed.key != first.key
    assert any("in no file of partition.label_skew" in sentence for sentence in changed.metadata["warnings"])
