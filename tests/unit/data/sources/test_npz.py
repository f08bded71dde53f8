import os
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peerkd.data import memory
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
        ({"labels": LABELS}, "it must contain images or train_images, got labels"),
        ({"images": IMAGES_NHWC}, "it must contain labels or train_labels, got images"),
        (
            {"test_images": IMAGES_NHWC, "test_labels": LABELS},
            "it must contain images or train_images, got test_images",
        ),
        (
            {"images": IMAGES_NHWC / 255, "labels": LABELS},
            r"images must be uint8, got float64\. .* data\.pixel_range",
        ),
        ({"images": IMAGES_NHWC, "labels": LABELS / 2}, "labels must contain whole numbers"),
        (
            {"images": IMAGES_NHWC, "labels": LABELS[:5]},
            "images and labels must have the same number of samples, got 6 and 5",
        ),
        ({"images": IMAGES_NHWC, "labels": LABELS[None]}, "must have the same number of samples, got 6 and 1"),
        ({"images": IMAGES_NHWC, "labels": 3}, "must have the same number of samples, got 6 and 1"),
        ({"images": IMAGES_NHWC[:0], "labels": LABELS[:0]}, "images must contain at least one sample, got none"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "class_names": ["cat"]}, "class_names must name every class, got 1"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "site": np.arange(5)}, "column 'site' must contain 6 values"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "day": LABELS.astype("M8[D]")}, r"column 'day' .* got datetime64"),
        ({"images": IMAGES_NHWC, "labels": LABELS, "train_x": IMAGES_NHWC, "train_y": LABELS}, "got both"),
        (
            {"x_train": IMAGES_NHWC, "train_x": IMAGES_NHWC, "y_train": LABELS},
            "train split once, got train_x and x_train",
        ),
        (
            {"images": np.zeros((6, 4, 5, 2), np.uint8), "labels": LABELS},
            r"images must have the shape NHW, .* \(6, 4, 5, 2\)",
        ),
        ({"images": np.zeros((6, 5, 5, 5), np.uint8), "labels": LABELS}, "Volumes are not supported"),
        (
            {"images": np.zeros((6, 3, 5, 3), np.uint8), "labels": LABELS},
            "C = 1 or 3 in only one of the two positions",
        ),
        ({"images": np.uint8(3), "labels": LABELS}, r"images must have the shape NHW, .* got shape \(\)"),
        (
            {"train_images": IMAGES_NHWC, "train_labels": LABELS, "val_images": IMAGES_NHWC},
            "the same arrays for every split, got val_images without labels",
        ),
        (
            {
                "train_images": IMAGES_NHWC,
                "train_labels": LABELS,
                "train_site": LABELS,
                "test_images": IMAGES_NHWC,
                "test_labels": LABELS,
            },
            "got test_images, test_labels without site",
        ),
        (
            {
                "train_images": IMAGES_NHWC,
                "train_labels": LABELS,
                "test_images": IMAGES_NHWC[:, :2],
                "test_labels": LABELS,
            },
            r"train_images and test_images must have images of the same shape, got \(6, 4, 5, 3\) and \(6, 2, 5, 3\)",
        ),
        (
            {
                "train_images": IMAGES_NHWC,
                "train_labels": LABELS,
                "train_site": LABELS,
                "test_images": IMAGES_NHWC,
                "test_labels": LABELS,
                "test_site": LABELS.astype(str),
            },
            "column 'site' must have the same type in all splits, got int64, <U21",
        ),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataSourceError, match=rf"data\.path: .*pets\.npz: .*{message}"):
        read_npz(write(tmp_path, **arrays))


def test_an_archive_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES_NHWC, labels=np.array([object] * 6))
    with pytest.raises(DataSourceError, match=r"pets\.npz: labels contains Python objects, .* labels\.astype\(str\)"):
        read_npz(path)


def test_a_missing_or_truncated_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, images=IMAGES_NHWC, labels=LABELS)
    content = path.read_bytes()
    for num_bytes in (0, 2, 50, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:num_bytes])
        with pytest.raises(DataSourceError, match=r"pets\.npz: .*(cannot be read as|is damaged)"):
            read_npz(path)
    path.unlink()
    with pytest.raises(DataSourceError, match="does not exist; check the path"):
        read_npz(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "pets.npy", IMAGES_NHWC)
    with pytest.raises(DataSourceError, match="must be an npz file, but it contains a single array"):
        read_npz(tmp_path / "pets.npy")


def test_the_files_of_medmnist_are_read_unchanged(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        train_images=IMAGES_NHWC[:3],
        val_images=IMAGES_NHWC[3:4],
        test_images=IMAGES_NHWC[4:],
        train_labels=LABELS[:3, None].astype(np.uint8),
        val_labels=LABELS[3:4, None].astype(np.uint8),
        test_labels=LABELS[4:, None].astype(np.uint8),
    )
    raw = read_npz(path)
    assert (raw.num_train, raw.num_validation, len(raw.labels_N)) == (3, 1, 6)
    assert (raw.labels_N.tolist(), raw.class_names) == (LABELS.tolist(), ("0", "1", "2"))
    assert raw.remarks == ("val_images is the validation split, on which every choice is made",)
    np.testing.assert_array_equal(raw.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_data", "train_targets", "test_data", "test_targets"),
        ("image_train", "label_train", "image_test", "label_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_TEST", "Y_TEST"),
    ],
)
def test_synonyms_of_images_and_labels_are_understood(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = (IMAGES_NHWC[:4], LABELS[:4], IMAGES_NHWC[4:], LABELS[4:])
    raw = read_npz(write(tmp_path, **dict(zip(names, arrays, strict=True))))
    np.testing.assert_array_equal(raw.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))
    assert (raw.num_train, raw.num_validation) == (4, 0)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_a_validation_split_without_a_test_split_is_the_test_split(tmp_path: Path, name: str) -> None:
    arrays = {"x_train": IMAGES_NHWC[:4], "y_train": LABELS[:4], f"x_{name}": IMAGES_NHWC[4:], f"y_{name}": LABELS[4:]}
    raw = read_npz(write(tmp_path, **arrays))
    assert (raw.num_train, raw.num_validation, len(raw.labels_N)) == (4, 0, 6)
    assert raw.remarks == (f"x_{name} is the test split, because the data set has no other",)


def test_a_range_scales_other_numbers(tmp_path: Path) -> None:
    values = np.array([0, 1, 2047.5, 4094, 4095, -3, 5000, 100]).reshape(2, 2, 2)
    by_hand = np.array([0, 0, 128, 255, 255, 0, 255, 6]).reshape(2, 1, 2, 2)
    raw = read_npz(write(tmp_path, images=values, labels=[0, 1]), pixel_range=(0, 4095))
    np.testing.assert_array_equal(raw.images_NCHW, by_hand)
    assert raw.remarks == ("1 image with values outside data.pixel_range, which become 0 or 255",)
    for dtype in (np.uint16, np.int64, np.float32):
        whole = read_npz(write(tmp_path, images=IMAGES_NHWC.astype(dtype), labels=LABELS), pixel_range=(0, 255))
        np.testing.assert_array_equal(whole.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))
        assert whole.remarks == ()
    same = read_npz(write(tmp_path, images=IMAGES_NHWC, labels=LABELS), pixel_range=(0, 10))
    np.testing.assert_array_equal(same.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))
    values[1, 0, 0] = np.nan
    with pytest.raises(DataSourceError, match="images must contain finite numbers, got NaN or infinity in sample 1"):
        read_npz(write(tmp_path, images=values, labels=[0, 1]), pixel_range=(0, 4095))
    with pytest.raises(DataSourceError, match=r"images must be uint8, got complex128"):
        read_npz(write(tmp_path, images=values * 1j, labels=[0, 1]), pixel_range=(0, 1))


def test_a_folder_of_npy_files_is_read_like_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.asfortranarray(IMAGES_NHWC))
    np.save(tmp_path / "labels.npy", LABELS.astype(">i4") + 1)
    (tmp_path / "._labels.npy").write_bytes(b"of macOS")
    raw = read_npz(tmp_path)
    np.testing.assert_array_equal(raw.images_NCHW, IMAGES_NHWC.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(raw.labels_N, LABELS)
    assert (raw.class_names, raw.label_values) == (("1", "2", "3"), (1, 2, 3))
    assert [(each.kind, each.examples) for each in raw.skipped] == [("files that are not arrays", ("._labels.npy",))]
    (tmp_path / "labels.npy").unlink()
    os.mkfifo(tmp_path / "labels.npy")
    with pytest.raises(DataSourceError, match="labels cannot be read as an array: it is a special file"):
        read_npz(tmp_path)


def test_arrays_that_cannot_be_columns_are_counted(tmp_path: Path) -> None:
    masks = IMAGES_NHWC[..., 0]
    raw = read_npz(write(tmp_path, images=IMAGES_NHWC, labels=LABELS, masks=masks, mean=0.5, site=LABELS[:, None]))
    assert raw.columns.keys() == {"site"}
    (counted,) = raw.skipped
    assert (counted.kind, counted.num) == ("arrays without one value per sample", 2)


@pytest.mark.parametrize("shape", [(2**40, 8, 8), (10**30,), (-6, 4, 5), (6, 4, 4), (6, 4, 6)])
def test_an_array_of_another_size_than_its_header_states_is_never_allocated(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "pets.npz"
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    labels = BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(6 * 4 * 5))
        archive.writestr("labels.npy", labels.getvalue())
    with pytest.raises(DataSourceError, match=r"images is damaged: its header states uint8 \(.* but the file has 120"):
        read_npz(path)


def test_arrays_larger_than_memory_are_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, images=np.zeros((6, 64, 64), np.uint8), labels=LABELS)
    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 40_000)
    with pytest.raises(DataSourceError, match=r"pets\.npz needs 48\.2 KiB of memory .* only 39\.1 KiB are available"):
        read_npz(path)


def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pets.npz"
    np.savez_compressed(path, images=IMAGES_NHWC, labels=LABELS)
    content, raw = path.read_bytes(), read_npz(path)
    num_refused = 0
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :])
        try:
            changed = read_npz(path)
        except DataSourceError:
            num_refused += 1
            continue
        np.testing.assert_array_equal(changed.images_NCHW, raw.images_NCHW)
        np.testing.assert_array_equal(changed.labels_N, raw.labels_N)
    assert num_refused > 50


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "nothing", "a\0b"])
def test_a_path_that_is_not_a_file_is_refused_immediately(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataSourceError, match=r"^data\.path: "):
        read_npz(tmp_path / path)
