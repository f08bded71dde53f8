import contextlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as reference

from peerkd.data.dataset import read_packed, write_packed
from peerkd.data.sources.image_folder import decode_images, list_image_files, read_image_folder
from peerkd.errors import DataSourceError

SPLIT_TREE = {
    "train/dog/b.png": (6, 4),
    "train/dog/a.PNG": (6, 4),
    "train/cat/z.bmp": (6, 4),
    "test/cat/1.png": (6, 4),
    "test/dog/0.webp": (6, 4),
}


def test_files_are_sorted_by_split_class_and_name(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    files = list_image_files(tmp_path)
    assert files.relative_paths == (
        "train/cat/z.bmp",
        "train/dog/a.PNG",
        "train/dog/b.png",
        "test/cat/1.png",
        "test/dog/0.webp",
    )
    assert files.labels_N.tolist() == [0, 1, 1, 0, 1]
    assert files.num_train == 3
    assert files.class_names == ("cat", "dog")


def test_pixels_are_those_of_the_files_at_their_own_size(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    raw = read_image_folder(tmp_path, image_size_pixels=None)
    assert raw.images_NCHW.shape == (5, 3, 4, 6)
    for image_CHW, path in zip(raw.images_NCHW, list_image_files(tmp_path).relative_paths, strict=True):
        np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), np.asarray(Image.open(tmp_path / path)))
    assert raw.name == tmp_path.name


def test_training_images_and_labels_are_those_of_torchvision(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    raw = read_image_folder(tmp_path, image_size_pixels=None)
    samples = ImageFolder(str(tmp_path / "train"))
    assert raw.class_names == tuple(samples.classes)
    for index, (image, label) in enumerate(samples):
        np.testing.assert_array_equal(raw.images_NCHW[index].transpose(1, 2, 0), np.asarray(image))
        assert raw.labels_N[index] == label


def test_val_is_the_test_split_if_there_is_no_test_folder(tmp_path, write_images) -> None:
    write_images(tmp_path, {"train/cat/0.png": (4, 4), "val/cat/0.png": (4, 4)})
    assert list_image_files(tmp_path).relative_paths == ("train/cat/0.png", "val/cat/0.png")
    write_images(tmp_path, {"test/cat/0.png": (4, 4)})
    assert list_image_files(tmp_path).relative_paths == ("train/cat/0.png", "test/cat/0.png")


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_a_test_folder_all_samples_are_for_training(tmp_path, write_images, prefix: str) -> None:
    write_images(tmp_path, {f"{prefix}cat/0.png": (4, 4), f"{prefix}dog/0.png": (4, 4)})
    raw = read_image_folder(tmp_path, image_size_pixels=None)
    assert raw.num_train == len(raw.labels_N) == 2


def test_other_files_and_hidden_folders_are_passed_over(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (4, 4), ".thumbnails/0.png": (4, 4)})
    (tmp_path / "cat/notes.txt").write_text("a cat")
    (tmp_path / "README").write_text("cats")
    assert list_image_files(tmp_path).relative_paths == ("cat/0.png",)


@pytest.mark.parametrize("size", [(16, 8), (8, 16), (12, 12), (5, 9), (31, 8)])
def test_the_shorter_side_is_resized_and_the_centre_cut_out(tmp_path, write_images, size: tuple[int, int]) -> None:
    write_images(tmp_path, {"cat/0.png": size})
    actual = read_image_folder(tmp_path, image_size_pixels=8).images_NCHW[0]
    image = Image.open(tmp_path / "cat/0.png")
    scale = 8 / min(size)
    resized = image.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BILINEAR)
    expected = np.asarray(reference.center_crop(resized, [8, 8])).transpose(2, 0, 1)
    # Where the centre falls between two pixels, theirs moves by half a pixel and ours does not.
    if all(side * scale % 2 == 0 for side in size):
        np.testing.assert_allclose(actual.astype(int), expected, atol=1)
    assert actual.shape == (3, 8, 8)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    (tmp_path / "cat").mkdir()
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.new(mode, (4, 4), color=1).save(tmp_path / f"cat/0.{suffix}")
    assert read_image_folder(tmp_path, image_size_pixels=None).images_NCHW.shape == (1, 3, 4, 4)


def test_sizes_that_differ_ask_for_an_image_size(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (4, 4), "cat/1.png": (5, 6)})
    with pytest.raises(ValueError, match=r"data\.image_size_pixels must be set .*cat/1\.png is 5x6, .*0\.png is 4x4"):
        read_image_folder(tmp_path, image_size_pixels=None)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
@pytest.mark.parametrize("keep_fraction", [0.0, 0.01, 0.3, 0.7])
def test_a_truncated_image_is_named(tmp_path, write_images, suffix: str, keep_fraction: float) -> None:
    write_images(tmp_path, {"cat/0.png": (40, 40), f"cat/1.{suffix}": (40, 40)})
    path = tmp_path / f"cat/1.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep_fraction * len(content))])
    with pytest.raises(DataSourceError, match=rf"data\.path: .*cat/1\.{suffix} cannot be decoded as an image"):
        read_image_folder(tmp_path, image_size_pixels=None)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
def test_a_damaged_image_is_read_or_named_but_raises_nothing_else(tmp_path, write_images, suffix: str) -> None:
    write_images(tmp_path, {f"0.{suffix}": (20, 20)})
    path = tmp_path / f"0.{suffix}"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(min(len(content), 200), size=3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataSourceError):
            decode_images([path], image_size_pixels=8)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "must contain one folder per class, it contains none"),
        ({"0.png": (4, 4)}, "must contain one folder per class, it contains none"),
        ({"train/cat/0.png": (4, 4), "test/0.png": (4, 4)}, "must have the same classes, only one of them has cat"),
        (
            {"train/cat/0.png": (4, 4), "test/cat/0.png": (4, 4), "test/dog/0.png": (4, 4), "test/owl/0.png": (4, 4)},
            r"train and .*test must have the same classes, only one of them has dog, owl",
        ),
        ({"cat/more/0.png": (4, 4)}, r"cat must contain \.jpg, .* files, it has none"),
    ],
)
def test_another_layout_is_refused(tmp_path, write_images, files: dict[str, tuple[int, int]], message: str) -> None:
    write_images(tmp_path, files)
    with pytest.raises(DataSourceError, match=message):
        list_image_files(tmp_path)


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=r"data\.path: .*nowhere cannot be listed as a folder: .*No such file"):
        list_image_files(tmp_path / "nowhere")


def test_more_files_than_one_task_takes_keep_their_order(tmp_path, write_images) -> None:
    write_images(tmp_path, {f"cat/{index:03}.png": (2, 2) for index in range(150)})
    raw = read_image_folder(tmp_path, image_size_pixels=None)
    for index in (0, 63, 64, 127, 128, 149):
        expected = np.asarray(Image.open(tmp_path / f"cat/{index:03}.png")).transpose(2, 0, 1)
        np.testing.assert_array_equal(raw.images_NCHW[index], expected)


@pytest.mark.slow
@pytest.mark.skipif("PEERKD_CIFAR10_JPEG" not in os.environ, reason="PEERKD_CIFAR10_JPEG names no folder of CIFAR-10")
def test_all_of_cifar10_as_jpeg_packs_within_a_minute(tmp_path: Path) -> None:
    start_seconds = time.perf_counter()
    write_packed(tmp_path, read_image_folder(Path(os.environ["PEERKD_CIFAR10_JPEG"]), image_size_pixels=None))
    assert time.perf_counter() - start_seconds < 60
    dataset = read_packed(tmp_path, verify=True)
    assert dataset.images_NCHW.shape == (60_000, 3, 32, 32)
    assert dataset.num_train == 50_000
    assert np.bincount(dataset.labels_N[:50_000]).tolist() == [5_000] * 10
    assert np.bincount(dataset.labels_N[50_000:]).tolist() == [1_000] * 10
    # The published statistics of CIFAR-10, to what JPEG leaves of them.
    np.testing.assert_allclose(dataset.channel_mean, (0.4914, 0.4822, 0.4465), atol=0.001)
    np.testing.assert_allclose(dataset.channel_std, (0.2470, 0.2435, 0.2616), atol=0.005)
