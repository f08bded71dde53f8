from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peerkd.data.sources import read_source
from peerkd.data.sources.sizes import SourceSize, source_size
from peerkd.errors import DataSourceError


def size_as_read(source: str, path: Path | None, image_size_pixels: int | None = None) -> SourceSize:
    raw = read_source(source, path=None if path is None else str(path), image_size_pixels=image_size_pixels)
    _, channels, height, width = raw.images_NCHW.shape
    return SourceSize(
        num_train=raw.num_train,
        num_test=len(raw.labels_N) - raw.num_train - raw.num_validation,
        image_shape_CHW=(channels, height, width),
        num_classes=len(raw.class_names),
        num_validation=raw.num_validation,
        remarks=raw.remarks,
        passed_over=raw.passed_over,
    )


def test_the_digits_are_what_is_known_of_them() -> None:
    assert source_size("digits", path=None, image_size_pixels=None) == size_as_read("digits", None)


@pytest.mark.parametrize(("source", "num_classes"), [("cifar10", 10), ("cifar100", 100)])
def test_published_sizes_are_known_without_the_files(source: str, num_classes: int) -> None:
    size = source_size(source, path="nowhere", image_size_pixels=None)
    assert size == SourceSize(50_000, 10_000, (3, 32, 32), num_classes)
    assert size.num_pixel_bytes == 3 * 32 * 32


@pytest.mark.parametrize("splits", [("",), ("train", "val"), ("train", "val", "test")])
@pytest.mark.parametrize("image_size_pixels", [None, 4])
def test_the_files_of_a_folder_are_counted(splits: tuple[str, ...], image_size_pixels: int | None, tmp_path: Path):
    for split in splits:
        for class_name in "ab":
            folder = tmp_path / split / class_name
            folder.mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (6, 5)).save(folder / f"{number}.png")
    (tmp_path / splits[0] / "notes.txt").write_text("six images or more")
    found = source_size("image_folder", path=str(tmp_path), image_size_pixels=image_size_pixels)
    assert found.passed_over
    assert found == size_as_read("image_folder", tmp_path, image_size_pixels)


IMAGES_NHW = np.zeros((6, 4, 5), np.uint8)
LABELS_N = np.array([0, 1, 2, 0, 1, 3])


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": IMAGES_NHW, "labels": LABELS_N},
        {"images": IMAGES_NHW[..., None].repeat(3, 3), "labels": LABELS_N, "class_names": np.array(list("abcd"))},
        {
            "train_images": IMAGES_NHW[:, None],
            "train_labels": LABELS_N,
            "test_images": IMAGES_NHW[:2, None],
            "test_labels": LABELS_N[:2],
        },
    ],
    ids=["one split", "colour last", "two splits"],
)
def test_the_header_of_an_npz_file_is_enough(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    found = source_size("npz", path=str(tmp_path / "data.npz"), image_size_pixels=None)
    assert found == size_as_read("npz", tmp_path / "data.npz")


@pytest.mark.parametrize("source", ["npz", "image_folder"])
def test_a_source_that_is_not_there_is_told(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=r"^data\.path: "):
        source_size(source, path=str(tmp_path / "nothing"), image_size_pixels=None)
