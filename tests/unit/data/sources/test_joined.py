"""Data sets of several owners as one data set, whose classes are joined by name."""

import unicodedata
from typing import Any

import numpy as np
import pytest

from peerkd.data.dataset import RawDataset
from peerkd.data.skipped import SkippedEntries
from peerkd.data.sources.joined import COMMON, OWNER_COLUMN, OwnedDataset, _sorted, doubtful_names, join_datasets
from peerkd.errors import DataSourceError


def raw(labels: list[int], names: tuple[str, ...], *, value: int, size: int = 4, **changes: Any) -> RawDataset:
    return RawDataset(
        images_NCHW=np.full((len(labels), 3, size, size), value, np.uint8),
        labels_N=np.array(labels),
        class_names=names,
        columns={},
        name="folder",
        **{"num_train": len(labels), **changes},
    )


NORTH = OwnedDataset(0, "north", raw([0, 1, 1, 0, 1], ("cat", "owl"), value=1, num_train=2, num_validation=1))
SOUTH = OwnedDataset(1, "south", raw([0, 1, 0], ("ant", "cat"), value=2))
EVERYONE = OwnedDataset(COMMON, "the common data set", raw([1, 0], ("cat", "dog"), value=3, num_train=1))


def test_samples_keep_their_class_their_owner_and_their_split() -> None:
    joined = join_datasets([NORTH, SOUTH, EVERYONE])
    assert joined.class_names == ("ant", "cat", "dog", "owl")
    assert (joined.num_train, joined.num_validation, len(joined.labels_N)) == (2 + 3 + 1, 1, 10)
    classes = [joined.class_names[k] for k in joined.labels_N]
    assert classes == ["cat", "owl", "ant", "cat", "ant", "dog", "owl", "cat", "owl", "cat"]
    assert joined.columns[OWNER_COLUMN].tolist() == [0, 0, 1, 1, 1, -1, 0, 0, 0, -1]
    assert joined.images_NCHW[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 2, 3, 1, 1, 1, 3]


def test_classes_that_are_numbers_are_sorted_by_value() -> None:
    parts = [OwnedDataset(0, "a", raw([0, 1], ("10", "9"), value=0)), OwnedDataset(1, "b", raw([0], ("2",), value=0))]
    assert join_datasets(parts).class_names == ("2", "9", "10")


def test_numbers_of_one_value_have_an_order() -> None:
    names = ["0", "00", "0001", "001", "01", "1", "2", "10"]
    # The order of a set differs from process to process.
    assert [*_sorted({*names})] == names


def test_names_that_look_alike_are_said() -> None:
    composed, decomposed = (unicodedata.normalize(form, "naïf") for form in ("NFC", "NFD"))
    one = OwnedDataset(0, "a", raw([0, 1, 2, 3], ("Cat", composed, "7", "dog"), value=0))
    other = OwnedDataset(1, "b", raw([0, 1, 2, 3], ("cat", decomposed, "07", "dog"), value=0))
    remarks = join_datasets([one, other]).remarks
    assert doubtful_names(remarks).startswith(
        "07 (b), 7 (a) are different classes, although their names differ only in"
    )
    said = [each for each in remarks if "are different classes, although" in each]
    assert [each.partition(" are different")[0] for each in said] == [
        "07 (b), 7 (a)",
        "Cat (a), cat (b)",
        f"{decomposed} (b), {composed} (a)",
    ]


def test_what_was_read_and_skipped_is_said_for_each_owner() -> None:
    skipped = (SkippedEntries("hidden files", 2, (".a",)),)
    south = SOUTH._replace(raw=raw([0, 1, 0], ("ant", "cat"), value=2, remarks=("a remark",), skipped=skipped))
    joined = join_datasets([NORTH, south])
    assert joined.remarks == (
        "north has 2 training, 1 validation and 2 test samples, of 2 of the 3 classes",
        "south has 3 samples that are not divided into splits, of 2 of the 3 classes",
        "south: a remark",
        "classes that only one data set has, perhaps under a name of its own: ant (south), owl (north)",
    )
    assert joined.skipped == (SkippedEntries("hidden files of south", 2, (".a",)),)


def test_images_of_different_shapes_are_refused() -> None:
    other = OwnedDataset(1, "south", raw([0], ("cat",), value=0, size=5))
    with pytest.raises(DataSourceError, match=r"same shape, got 3x4x4 of north and 3x5x5 of south; data\.image_size"):
        join_datasets([NORTH, other])
