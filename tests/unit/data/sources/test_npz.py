from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peerkd.data.sources.npz import read_npz
from peerkd.errors import DataSourceError

RNG = np.random.default_rng(0)
IMAGES_NHWC = RNG.integers(256, size=(6, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0])


def write(tmp_path: Path, **arrays: Any) -> Path:
    path = tmp_path / "pets.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("images", "expected_NCHW"),
    [
        (IMAGES_NHWC, IMAGES_NHWC.transpose(0, 3, 1, 2)),
        (IMAGES_NHWC.transpose(0, 3, 1, 2), IMAGES_NHWC.transpose(0, 3, 1, 2)),
        (IMAGES_NHWC[..., 0], IMAGES_NHWC[..., :1].transpose(0, 3, 1, 2)),
        (IMAGES_NHWC[..., :1], IMAGES_NHWC[..., :1].transpose(0, 3, 1, 2)),
    ],
    ids=["NHWC", "NCHW", "NHW", "one channel"],
)
def test_images_in_every_layout_become_nchw(tmp_path: Path, images: np.ndarray, expected_NCHW: np.ndarray) -> None:
    raw = read_npz(write(tmp_path, images=images, labels=LABELS.astype(np.uint8)))
    np.testing.assert_array_equal(raw.images_NCHW, expected_NCHW)
    np.testing.assert_array_equal(raw.labels_N, LABELS)
    assert raw.labels_N.dtype == np.int64
    assert raw.num_train == 6
    assert raw.class_names == ("0", "1", "2")
    assert raw.name == "pets"


def test_train_and_test_arrays_are_joined_with_their_columns(tmp_path: Path) -> None:
    patient = np.array(["a", "b", "c", "dd", "e", "f"])
    path = write(
        tmp_path,
        test_images=IMAGES_NHWC[4:],
        test_labels=LABELS[4:],
        test_patient=patient[4:],
        train_images=IMAGES_NHWC[:4],
        train_labels=LABELS[:4],
        train_patient=patient[:4],
        class_names=np.array(["cat", "dog", "fox"]),
    )
    raw = read_npz(path)
    np.testing.assert_array_equal(raw.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(raw.labels_N, LABELS)
    assert raw.num_train == 4
    assert raw.class_names == ("cat", "dog", "fox")
    assert raw.columns.keys() == {"patient"}
    np.testing.assert_array_equal(raw.columns["patient"], patient)


def test_any_further_array_with_a_value_per_sample_is_a_column(tmp_path: Path) -> None:
    raw = read_npz(write(tmp_path, images=IMAGES_NHWC, labels=LABELS, site=np.arange(6), weight=np.ones(6)))
    assert raw.columns.keys() == {"site", "weight"}
    np.testing.assert_array_equal(raw.columns["site"], np.arange(6))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS}, "must hold images or train_images and test_images, got labels"),
        ({"images": IMAGES_NHWC}, "must hold labels or train_labels and test_labels, got images"),
        ({"images": IMAGES_NHWC / 255, "labels": LABELS}, "images must be uint8 .* got float64"),
        ({"images": IMAGES_NHWC, "labels": LABELS / 2}, "labels must be whole numbers .* got float64"),
        ({"images": IMAGES_NHWC, "labels": LABELS[:, None]}, r"labels must be whole numbers .* got int64 \(6, 1\)"),
        ({"images": IMAGES_NHWC, "labels": LABELS[:5]}, r"labels must be int64 of shape \(6,\), got int64 \(5,\)"),
        ({"images": IMAGES_NHWC, "labels": LABELS - 1}, r"labels must lie in \[0, 2\), got -1 to 1"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "class_names": ["cat"]}, r"labels must lie in \[0, 1\)"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "site": np.arange(5)}, "column 'site' must hold 6"),
        ({"images": np.zeros((6, 4, 5, 2), np.uint8), "labels": LABELS}, r"images must be NHW, .* \(6, 4, 5, 2\)"),
        ({"images": np.zeros((6, 3, 5, 3), np.uint8), "labels": LABELS}, "1 or 3 channels on one side only"),
        ({"images": np.uint8(3), "labels": LABELS}, r"images must be NHW, .* got shape \(\)"),
        (
            {"train_images": IMAGES_NHWC, "train_labels": LABELS, "val_images": IMAGES_NHWC},
            "missing or left over: test_images, test_labels, val_images",
        ),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataSourceError, match=rf"data\.path: .*pets\.npz: .*{message}"):
        read_npz(write(tmp_path, **arrays))


def test_an_archive_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES_NHWC, labels=np.array([object] * 6))
    with pytest.raises(DataSourceError, match=r"pets\.npz cannot be read as an npz file of plain arrays"):
        read_npz(path)


def test_a_missing_or_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES_NHWC, labels=LABELS)
    content = path.read_bytes()
    for num_bytes in (0, 2, 50, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:num_bytes])
        with pytest.raises(DataSourceError, match=r"pets\.npz cannot be read as an npz file of plain arrays"):
            read_npz(path)
    path.unlink()
    with pytest.raises(DataSourceError, match="No such file"):
        read_npz(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pets.npy", IMAGES_NHWC)
    with pytest.raises(DataSourceError, match="must be an npz file, it holds a single array"):
        read_npz(tmp_path / "pets.npy")
