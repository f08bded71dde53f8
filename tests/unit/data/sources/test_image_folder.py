import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional as reference

from peerkd.data.packed import read_packed, write_packed
from peerkd.data.sources.decode_pool import decode_images
from peerkd.data.sources.image_folder import UNREADABLE, list_image_files, read_image_folder
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.errors import DataSourceError

SPLIT_TREE = {
    "train/dog/b.png": (6, 4),
    "train/dog/a.PNG": (6, 4),
    "train/cat/z.bmp": (6, 4),
    "test/cat/1.png": (6, 4),
    "test/dog/0.webp": (6, 4),
}


def test_pixels_equal_those_of_the_files_at_their_own_size(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    raw = read_image_folder(tmp_path, PixelRules())
    assert raw.images_NCHW.shape == (5, 3, 4, 6)
    for image_CHW, path in zip(raw.images_NCHW, list_image_files(tmp_path).relative_paths, strict=True):
        np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), np.asarray(Image.open(tmp_path / path)))
    assert raw.name == tmp_path.name


def test_training_images_and_labels_equal_those_of_torchvision(tmp_path, write_images) -> None:
    write_images(tmp_path, SPLIT_TREE)
    raw = read_image_folder(tmp_path, PixelRules())
    samples = ImageFolder(str(tmp_path / "train"))
    assert raw.class_names == tuple(samples.classes)
    for index, (image, label) in enumerate(samples):
        np.testing.assert_array_equal(raw.images_NCHW[index].transpose(1, 2, 0), np.asarray(image))
        assert raw.labels_N[index] == label


SUFFIXES = [
    "tif",
    "TIFF",
    "gif",
    "ppm",
    "pgm",
    "bmp",
    "webp",
    "jp2",
    "jfif",
    "tga",
    "pcx",
    "Png",
    "JPEG",
    "avif",
    "dib",
]


def test_every_format_that_pillow_decodes_is_read(tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for suffix in SUFFIXES:
        Image.new("L", (8, 8), 100).save(tmp_path / f"grey/0.{suffix}", format="JPEG2000" if suffix == "jp2" else None)
    raw = read_image_folder(tmp_path, PixelRules())
    assert raw.images_NCHW.shape == (len(SUFFIXES), 3, 8, 8)
    assert raw.images_NCHW.min() >= 98
    assert raw.images_NCHW.max() <= 102


@pytest.fixture
def damaged(tmp_path, write_images) -> Path:
    """Return a folder with twelve damaged images of one class and three intact images of two classes."""
    write_images(tmp_path, {"cat/a.png": (4, 4), "cat/z.png": (4, 4), "dog/0.png": (4, 4)})
    for number in range(8):
        (tmp_path / f"cat/text{number}.jpg").write_text("no image")
    (tmp_path / "cat/empty.gif").touch()
    os.mkfifo(tmp_path / "cat/fifo.png")
    (tmp_path / "cat/folder.png").symlink_to("nowhere")
    (tmp_path / "cat/cut.png").write_bytes((tmp_path / "cat/a.png").read_bytes()[:-30])
    return tmp_path


def test_all_damaged_images_are_refused_together_and_ten_are_listed(damaged: Path) -> None:
    with pytest.raises(DataSourceError) as refusal:
        read_image_folder(damaged, PixelRules())
    message = str(refusal.value)
    assert message.startswith(
        f"data.path: 12 of 15 images below {damaged} cannot be read; repair or remove them, or set "
        "data.skip_damaged=true to omit them: cat/cut.png (image file is truncated"
    )
    assert message.endswith(" and 2 more.")
    for reason in (
        "cut.png (image file is truncated",
        "empty.gif (it is empty)",
        "fifo.png (it is a named pipe, not a file)",
        "folder.png (No such file or directory)",
        "text0.jpg (it is not an image of a known format)",
    ):
        assert reason in message


def test_damaged_images_are_omitted_and_counted_on_request(damaged: Path) -> None:
    raw = read_image_folder(damaged, PixelRules(), skip_damaged=True)
    assert raw.labels_N.tolist() == [0, 0, 1]
    for image_CHW, name in zip(raw.images_NCHW, ("cat/a", "cat/z", "dog/0"), strict=True):
        np.testing.assert_array_equal(image_CHW.transpose(1, 2, 0), np.asarray(Image.open(damaged / f"{name}.png")))
    (skipped,) = raw.skipped
    assert (skipped.kind, skipped.num, len(skipped.examples)) == (UNREADABLE, 12, 12)
    assert skipped.examples[1] == "cat/empty.gif: it is empty"


def test_a_class_without_a_readable_image_is_refused(damaged: Path) -> None:
    (damaged / "dog/0.png").write_text("no image")
    with pytest.raises(
        DataSourceError, match=r"no image of the class dog in the split of dog/0\.png can be read; 13 of 15 "
    ):
        read_image_folder(damaged, PixelRules(), skip_damaged=True)


def test_split_sizes_account_for_omitted_images(tmp_path, write_images) -> None:
    write_images(tmp_path, {f"{split}/cat/{n}.png": (4, 4) for split in ("train", "val", "test") for n in range(4)})
    for name in ("train/cat/1.png", "val/cat/0.png", "val/cat/3.png"):
        (tmp_path / name).write_bytes(b"")
    raw = read_image_folder(tmp_path, PixelRules(), skip_damaged=True)
    assert (raw.num_train, raw.num_validation, len(raw.labels_N)) == (3, 2, 9)


def test_several_frames_and_deep_pixels_are_remarked(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (4, 4)})
    frames = [Image.new("L", (4, 4), level) for level in (7, 99)]
    for name in ("1.gif", "2.tif", "3.webp"):
        frames[0].save(tmp_path / "cat" / name, save_all=True, append_images=frames[1:], lossless=True)
    Image.fromarray(np.full((4, 4), 4_000, np.uint16)).save(tmp_path / "cat/4.png")
    raw = read_image_folder(tmp_path, PixelRules())
    assert (raw.images_NCHW[1:4] == 7).all()
    assert raw.remarks == (
        "images with several frames or pages, of which the first is read: 3",
        "images of 12 or 16 bits per channel, scaled from the full range to 0..255: 1, with 4,000 as their highest "
        "value (data.pixel_range sets another range)",
    )
    rules = PixelRules(pixel_range=(0, 3_000))
    assert read_image_folder(tmp_path, rules).remarks[1] == (
        "images of more than 8 bits per channel, scaled from 0..3000 to 0..255: 1, of which 1 have values outside "
        "that range, which become 0 or 255"
    )


@pytest.mark.parametrize("size", [(16, 8), (8, 16), (12, 12), (5, 9), (31, 8)])
def test_the_shorter_side_is_resized_and_the_centre_cropped(tmp_path, write_images, size: tuple[int, int]) -> None:
    write_images(tmp_path, {"cat/0.png": size})
    actual = read_image_folder(tmp_path, PixelRules(8)).images_NCHW[0]
    image = Image.open(tmp_path / "cat/0.png")
    scale = 8 / min(size)
    resized = image.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BILINEAR)
    expected = np.asarray(reference.center_crop(resized, [8, 8])).transpose(2, 0, 1)
    # If the centre is between two pixels, torchvision moves it by half a pixel, and this project does not.
    if all(side * scale % 2 == 0 for side in size):
        np.testing.assert_allclose(actual.astype(int), expected, atol=1)
    assert actual.shape == (3, 8, 8)


def test_images_of_different_sizes_require_an_image_size(tmp_path, write_images) -> None:
    write_images(tmp_path, {"cat/0.png": (4, 4), "cat/1.png": (5, 6)})
    with pytest.raises(ValueError, match=r"data\.image_size_pixels must be set .*cat/1\.png is 5x6, .*0\.png is 4x4"):
        read_image_folder(tmp_path, PixelRules())


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp"])
@pytest.mark.parametrize("keep_fraction", [0.0, 0.01, 0.3, 0.7])
def test_a_truncated_image_is_named(tmp_path, write_images, suffix: str, keep_fraction: float) -> None:
    write_images(tmp_path, {"cat/0.png": (40, 40), f"cat/1.{suffix}": (40, 40)})
    path = tmp_path / f"cat/1.{suffix}"
    content = path.read_bytes()
    path.write_bytes(content[: int(keep_fraction * len(content))])
    with pytest.raises(
        DataSourceError, match=rf"data\.path: 1 of 2 images below .* cannot be read; .*: cat/1\.{suffix} \("
    ):
        read_image_folder(tmp_path, PixelRules())


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
            decode_images([path], PixelRules(8))


def test_files_of_several_tasks_keep_their_order(tmp_path, write_images) -> None:
    write_images(tmp_path, {f"cat/{index:03}.png": (2, 2) for index in range(150)})
    raw = read_image_folder(tmp_path, PixelRules())
    for index in (0, 63, 64, 127, 128, 149):
        expected = np.asarray(Image.open(tmp_path / f"cat/{index:03}.png")).transpose(2, 0, 1)
        np.testing.assert_array_equal(raw.images_NCHW[index], expected)


@pytest.mark.skipif("PEERKD_CIFAR10_JPEG" not in os.environ, reason="PEERKD_CIFAR10_JPEG names no folder of CIFAR-10")
def test_a_tenth_of_cifar10_as_jpeg_is_packed(tmp_path: Path) -> None:
    tenth = tmp_path / "tenth"
    for path in Path(os.environ["PEERKD_CIFAR10_JPEG"]).glob("*/*/*0.jpg"):
        copy = tenth.joinpath(*path.parts[-3:])
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    write_packed(tmp_path, read_image_folder(tenth, PixelRules()))
    dataset = read_packed(tmp_path, verify=True)
    assert dataset.images_NCHW.shape == (6_000, 3, 32, 32)
    assert dataset.num_train == 5_000
    assert np.bincount(dataset.labels_N[:5_000]).tolist() == [500] * 10
    assert np.bincount(dataset.labels_N[5_000:]).tolist() == [100] * 10
    # The published statistics of CIFAR-10, with a tolerance for the losses of JPEG and for the other images.
    np.testing.assert_allclose(dataset.channel_mean, (0.4914, 0.4822, 0.4465), atol=0.005)
    np.testing.assert_allclose(dataset.channel_std, (0.2470, 0.2435, 0.2616), atol=0.005)
