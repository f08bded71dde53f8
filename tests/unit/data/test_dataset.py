"""The interface of data sets, and the packed form: ``dataset``, ``packed`` and ``storage`` of ``peerkd.data``."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.packed import channel_statistics, read_packed, write_packed
from peerkd.errors import ArtifactCorruptError


def make_raw(**changes: Any) -> RawDataset:
    rng = np.random.default_rng(0)
    raw = RawDataset(
        images_NCHW=rng.integers(256, size=(10, 3, 4, 5), dtype=np.uint8),
        labels_N=np.arange(10) % 3,
        num_train=7,
        class_names=("cat", "dog", "fox"),
        columns={"patient": np.array([f"p{i % 4}" for i in range(10)]), "age": np.linspace(0, 1, 10)},
        name="pets",
    )
    return dataclasses.replace(raw, **changes)


def test_a_data_set_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    raw = make_raw()
    fingerprint = write_packed(tmp_path, raw)
    dataset: ImageDataset = read_packed(tmp_path, verify=True)
    np.testing.assert_array_equal(dataset.read_images(np.arange(10)), raw.images_NCHW)
    np.testing.assert_array_equal(dataset.labels_N, raw.labels_N)
    assert dataset.columns.keys() == raw.columns.keys()
    for name, column_N in raw.columns.items():
        np.testing.assert_array_equal(dataset.columns[name], column_N)
    assert (dataset.num_train, dataset.class_names, dataset.name) == (7, ("cat", "dog", "fox"), "pets")
    assert (dataset.num_classes, dataset.image_shape) == (3, (3, 4, 5))
    assert dataset.fingerprint == fingerprint


def test_a_validation_split_and_remarks_are_read_back(tmp_path: Path) -> None:
    raw = make_raw(num_validation=2, remarks=("the labels 1, 2 and 3 are the classes 0, 1 and 2",))
    fingerprint = write_packed(tmp_path, raw)
    dataset = read_packed(tmp_path, verify=True)
    assert (dataset.num_train, dataset.num_validation, dataset.remarks) == (7, 2, raw.remarks)
    assert fingerprint != write_packed(tmp_path / "without", make_raw())
    assert fingerprint == write_packed(tmp_path / "silent", make_raw(num_validation=2))


def test_pixels_are_memory_mapped_and_read_only_and_a_batch_is_a_copy(tmp_path: Path) -> None:
    write_packed(tmp_path, make_raw())
    dataset = read_packed(tmp_path)
    assert isinstance(dataset.images_NCHW.base, np.memmap)
    assert not dataset.images_NCHW.flags.writeable
    batch = dataset.read_images(np.array([9, 0, 9]))
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, make_raw().images_NCHW[[9, 0, 9]])
    batch[:] = 0
    np.testing.assert_array_equal(dataset.images_NCHW, make_raw().images_NCHW)


@pytest.mark.parametrize(
    "changes",
    [
        {"images_NCHW": 255 - make_raw().images_NCHW},
        {"images_NCHW": make_raw().images_NCHW.reshape(10, 3, 5, 4)},
        {"labels_N": np.arange(10) % 2},
        {"num_train": 8},
        {"class_names": ("cat", "dog", "owl")},
        {"columns": {}},
        {"columns": {**make_raw().columns, "age": np.zeros(10)}},
        {"columns": {"owner": make_raw().columns["patient"], "age": make_raw().columns["age"]}},
    ],
    ids=["pixels", "shape", "labels", "num_train", "class names", "fewer columns", "column", "column name"],
)
def test_the_fingerprint_changes_with_the_content(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert write_packed(tmp_path / "a", make_raw()) != write_packed(tmp_path / "b", make_raw(**changes))


def test_the_fingerprint_ignores_name_folder_memory_layout_and_byte_order(tmp_path: Path) -> None:
    raw = make_raw()
    same = make_raw(
        name="other",
        images_NCHW=np.asfortranarray(raw.images_NCHW),
        columns={"age": raw.columns["age"].astype(">f8"), "patient": raw.columns["patient"]},
    )
    assert write_packed(tmp_path / "a", raw) == write_packed(tmp_path / "b" / "c", same)
    assert (tmp_path / "a/images.npy").read_bytes() == (tmp_path / "b/c/images.npy").read_bytes()
    assert (tmp_path / "a/columns/age.npy").read_bytes() == (tmp_path / "b/c/columns/age.npy").read_bytes()


def test_fingerprints_do_not_drift_between_releases(tmp_path: Path) -> None:
    raw = make_raw(images_NCHW=np.arange(600, dtype=np.uint16).astype(np.uint8).reshape(10, 3, 4, 5), columns={})
    assert write_packed(tmp_path, raw) == "7dceab3194560382320121748a07fb9376ba9b90c66a781fe351053720affc22"


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "columns/age.npy", "dataset.json"])
@pytest.mark.parametrize("keep_fraction", [None, 0.0, 0.05, 0.9])
def test_a_missing_or_truncated_file_is_refused(tmp_path: Path, name: str, keep_fraction: float | None) -> None:
    write_packed(tmp_path, make_raw())
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if keep_fraction is not None:
        path.write_bytes(content[: int(keep_fraction * len(content))])
    with pytest.raises(ArtifactCorruptError, match=re.escape(str(path))):
        read_packed(tmp_path)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "columns/age.npy"])
def test_verify_refuses_an_altered_array(tmp_path: Path, name: str) -> None:
    write_packed(tmp_path, make_raw())
    content = bytearray((tmp_path / name).read_bytes())
    content[-8] ^= 1
    (tmp_path / name).write_bytes(content)
    read_packed(tmp_path)
    with pytest.raises(ArtifactCorruptError, match="the content has fingerprint"):
        read_packed(tmp_path, verify=True)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_train", 6, "has fingerprint"),
        ("class_names", ["cat", "dog", "owl"], "has fingerprint"),
        ("channel_mean", [0.5, 0.5, 0.5], "do not match the pixels"),
        ("num_train", 11, r"num_train must be from 1 to 10, got 11"),
        ("num_train", "7", "do not fit together"),
        ("class_names", ["cat"], r"labels must be from 0 to 0, got 0 to 2"),
        ("kind", "streamed", "kind must be 'packed', got 'streamed'"),
    ],
)
def test_verify_refuses_altered_metadata(tmp_path: Path, field: str, value: Any, message: str) -> None:
    write_packed(tmp_path, make_raw())
    metadata = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps(metadata | {field: value}))
    with pytest.raises(ArtifactCorruptError, match=message):
        read_packed(tmp_path, verify=True)


@pytest.mark.parametrize("name", ["fingerprint", "num_validation", "label_values", "remarks", "skipped"])
def test_metadata_without_a_field_is_refused(tmp_path: Path, name: str) -> None:
    write_packed(tmp_path, make_raw())
    metadata = json.loads((tmp_path / "dataset.json").read_text())
    del metadata[name]
    (tmp_path / "dataset.json").write_text(json.dumps(metadata))
    with pytest.raises(ArtifactCorruptError, match=f"do not fit together: '{name}'"):
        read_packed(tmp_path)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    write_packed(tmp_path, make_raw())
    np.save(tmp_path / "labels.npy", np.array([object] * 10), allow_pickle=True)
    with pytest.raises(ArtifactCorruptError, match=r"labels\.npy: cannot be read as an array"):
        read_packed(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images_NCHW": np.zeros((10, 3, 4, 5))}, "images must be uint8 .* got float64"),
        ({"images_NCHW": np.zeros((10, 4, 5), np.uint8)}, r"images must be .* got uint8 \(10, 4, 5\)"),
        ({"labels_N": np.zeros(9, np.int64)}, r"labels must be int64 of shape \(10,\), got int64 \(9,\)"),
        ({"labels_N": np.full(10, 3)}, r"labels must be from 0 to 2, got 3 to 3"),
        ({"num_train": 0}, r"num_train must be from 1 to 10, got 0"),
        ({"num_validation": 4}, r"num_validation must be from 0 to 3, got 4"),
        ({"num_validation": -1}, r"num_validation must be from 0 to 3, got -1"),
        ({"columns": {"../age": np.zeros(10)}}, "identifier, got '../age'"),
        ({"columns": {"age": np.zeros(9)}}, "column 'age' must contain 10 numbers or strings"),
        ({"columns": {"age": np.array([None] * 10)}}, "column 'age' must contain 10 numbers or strings, got object"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_raw(**changes)


@given(
    st_numpy.arrays(
        np.uint8,
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    )
)
def test_channel_statistics_are_mean_and_deviation_in_unit_range(images_NCHW: np.ndarray) -> None:
    mean, std = channel_statistics(images_NCHW)
    unit = images_NCHW / 255
    np.testing.assert_allclose(mean, unit.mean(axis=(0, 2, 3)))
    expected_std = unit.std(axis=(0, 2, 3))
    constant = (images_NCHW == images_NCHW[:1, :, :1, :1]).all(axis=(0, 2, 3))
    np.testing.assert_allclose(std, np.where(constant, 1 / 255, expected_std), rtol=1e-6)


def test_channel_statistics_cover_only_the_training_split(tmp_path: Path) -> None:
    raw = make_raw()
    write_packed(tmp_path, raw)
    dataset = read_packed(tmp_path)
    assert (dataset.channel_mean, dataset.channel_std) == channel_statistics(raw.images_NCHW[:7])


def test_arrays_larger_than_a_block_give_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint = write_packed(tmp_path / "whole", make_raw())
    monkeypatch.setattr("peerkd.data.storage.BLOCK_BYTES", 100)
    assert write_packed(tmp_path / "blocks", make_raw()) == fingerprint
    whole, blocks = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("whole", "blocks"))
    assert whole == blocks
