import dataclasses
from typing import Any

import numpy as np
import pytest

from peerkd.data.dataset import RawDataset
from peerkd.data.sources import limit_samples, move_to_test, read_source
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.errors import DataSourceError


def test_each_source_is_found_by_its_name(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (6, 4)})
    np.savez(tmp_path / "pets.npz", images=np.zeros((2, 4, 4), np.uint8), labels=np.array([0, 1]))
    digits = read_source("digits", path=None)
    folder = read_source("image_folder", path=str(tmp_path), rules=PixelRules(8))
    npz = read_source("npz", path=str(tmp_path / "pets.npz"))
    assert [raw.images_NCHW.shape for raw in (digits, folder, npz)] == [(1797, 1, 8, 8), (1, 3, 8, 8), (2, 1, 4, 4)]
    for source, file in (("cifar10", "data_batch_1"), ("cifar100", "train")):
        with pytest.raises(DataSourceError, match=f"{file} cannot be read"):
            read_source(source, path=str(tmp_path))


def test_a_tilde_is_the_home_folder(tmp_path, write_images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_images(tmp_path / "pets", {"cat/0.png": (6, 4)})
    assert read_source("image_folder", path="~/pets").name == "pets"


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("mnist", {}, "must be one of digits, cifar10, cifar100, image_folder, npz, got 'mnist'"),
        ("digits", {"path": "/data"}, r"data\.path must not be given with data\.source digits, got '/data'"),
        ("cifar10", {}, r"data\.path must be given with data\.source cifar10"),
        ("npz", {"path": "a.npz", "rules": PixelRules(8)}, "applies to data.source image_folder only, got 8 with npz"),
        ("image_folder", {"path": "/data", "rules": PixelRules(0)}, "must be at least 1 .* got 0 with image_folder"),
    ],
)
def test_arguments_that_do_not_fit_the_source_are_refused(source: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_source(source, **({"path": None} | arguments))


@pytest.fixture
def raw() -> RawDataset:
    labels_N = np.repeat([0, 1, 0, 1], [60, 30, 20, 10])
    return RawDataset(
        images_NCHW=np.arange(120, dtype=np.uint8).reshape(120, 1, 1, 1),
        labels_N=labels_N,
        num_train=90,
        class_names=("cat", "dog"),
        columns={"number": np.arange(120)},
        name="pets",
    )


def test_a_limited_data_set_keeps_splits_proportions_and_order(raw: RawDataset) -> None:
    limited = limit_samples(raw, max_train_samples=30, max_test_samples=6, rng=np.random.default_rng(0))
    assert limited.num_train == 30
    assert np.bincount(limited.labels_N[:30]).tolist() == [20, 10]
    assert np.bincount(limited.labels_N[30:]).tolist() == [4, 2]
    number = limited.columns["number"]
    assert (np.diff(number) > 0).all()
    assert (number[:30] < 90).all()
    assert (number[30:] >= 90).all()
    np.testing.assert_array_equal(limited.images_NCHW.ravel(), number)
    np.testing.assert_array_equal(limited.labels_N, raw.labels_N[number])


def test_a_limited_data_set_keeps_its_complete_validation_split(raw: RawDataset) -> None:
    with_validation = dataclasses.replace(raw, num_validation=10, remarks=("read with care",))
    limited = limit_samples(with_validation, max_train_samples=30, max_test_samples=6, rng=np.random.default_rng(0))
    assert (limited.num_train, limited.num_validation, limited.remarks) == (30, 10, ("read with care",))
    assert limited.columns["number"][30:40].tolist() == list(range(90, 100))
    assert (limited.columns["number"][40:] >= 100).all()
    assert len(limited.labels_N) == 46


def test_a_class_that_a_limit_empties_is_remarked(raw: RawDataset) -> None:
    limited = limit_samples(raw, max_train_samples=1, max_test_samples=1, rng=np.random.default_rng(0))
    assert limited.remarks == ("data.max_train_samples and data.max_test_samples leave no sample of 1 class: dog",)


@pytest.mark.parametrize("limit", [None, 90, 1000])
def test_a_limit_above_the_number_of_samples_changes_nothing(raw: RawDataset, limit: int | None) -> None:
    limited = limit_samples(raw, max_train_samples=limit, max_test_samples=limit, rng=np.random.default_rng(0))
    assert limited is raw


def test_samples_that_are_moved_to_the_test_split_come_last(raw: RawDataset) -> None:
    without_test = dataclasses.replace(raw, num_validation=30)
    moved = move_to_test(without_test, np.array([3, 7, 80]))
    assert (moved.num_train, moved.num_validation) == (87, 30)
    number = moved.columns["number"]
    assert number.tolist() == [*sorted(set(range(120)) - {3, 7, 80}), 3, 7, 80]
    np.testing.assert_array_equal(moved.images_NCHW.ravel(), number)
    np.testing.assert_array_equal(moved.labels_N, raw.labels_N[number])


def test_no_sample_is_moved_to_a_test_split_of_the_data_sets_own(raw: RawDataset) -> None:
    assert move_to_test(raw, np.arange(90, 120)) is raw


def test_the_subset_depends_only_on_the_seed(raw: RawDataset) -> None:
    chosen = [
        limit_samples(raw, max_train_samples=30, max_test_samples=None, rng=np.random.default_rng(seed))
        .columns["number"]
        .tolist()
        for seed in (0, 0, 1)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("field", ["max_train_samples", "max_test_samples"])
def test_a_limit_below_one_is_refused(raw: RawDataset, field: str) -> None:
    limits: dict[str, Any] = {"max_train_samples": None, "max_test_samples": None, field: 0}
    with pytest.raises(ValueError, match=f"data.{field} must be at least 1, got 0"):
        limit_samples(raw, **limits, rng=np.random.default_rng(0))
