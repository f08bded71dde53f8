import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from peerkd.data.dataset import ImageDataset
from peerkd.data.packed import PackedDataset, write_packed
from peerkd.data.skipped import SkippedEntries
from peerkd.data.sources.image_folder import UNREADABLE, read_image_folder
from peerkd.data.sources.pixel_rules import PixelRules
from peerkd.data.streamed import (
    IMAGENET_CHANNEL_MEAN,
    IMAGENET_CHANNEL_STD,
    StreamedDataset,
    index_image_folder,
    open_dataset,
    read_index,
    write_index,
)
from peerkd.errors import ArtifactCorruptError, DataSourceError

TREE = {
    "train/cat/0.png": (20, 12),
    "train/cat/1.jpg": (9, 30),
    "train/dog/0.png": (16, 16),
    "val/cat/0.png": (17, 11),
    "val/dog/0.png": (8, 8),
}


@pytest.fixture
def root(tmp_path, write_images) -> Path:
    write_images(tmp_path / "images", TREE)
    return tmp_path / "images"


def test_streamed_images_equal_packed_ones(root: Path) -> None:
    raw = read_image_folder(root, PixelRules(8))
    dataset: ImageDataset = index_image_folder(root, PixelRules(8))
    for indices in ([0, 1, 2, 3, 4], [4, 0, 4], [2], []):
        indices_B = np.array(indices, np.int64)
        np.testing.assert_array_equal(dataset.read_images(indices_B), raw.images_NCHW[indices_B])
    np.testing.assert_array_equal(dataset.labels_N, raw.labels_N)
    assert (dataset.num_train, dataset.class_names, dataset.name) == (raw.num_train, raw.class_names, raw.name)
    assert (dataset.num_classes, dataset.image_shape, dict(dataset.columns)) == (2, (3, 8, 8), {})


def test_channel_statistics_default_to_those_of_imagenet(root: Path) -> None:
    dataset = index_image_folder(root, PixelRules(8))
    assert (dataset.channel_mean, dataset.channel_std) == (IMAGENET_CHANNEL_MEAN, IMAGENET_CHANNEL_STD)
    given = index_image_folder(root, PixelRules(8), channel_mean=(0.5, 0.5, 0.5), channel_std=(1.0, 1.0, 1.0))
    assert (given.channel_mean, given.channel_std) == ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0))


def test_an_index_is_read_back_and_opened_by_its_kind(root: Path, tmp_path: Path) -> None:
    dataset = index_image_folder(root, PixelRules(8))
    assert write_index(tmp_path / "index", dataset) == dataset.fingerprint
    for opened in (read_index(tmp_path / "index"), open_dataset(tmp_path / "index")):
        assert isinstance(opened, StreamedDataset)
        assert opened.fingerprint == dataset.fingerprint
        assert (opened.channel_mean, opened.channel_std) == (dataset.channel_mean, dataset.channel_std)
        assert (opened.num_train, opened.class_names, opened.name) == (3, ("cat", "dog"), "images")
        indices_B = np.arange(5)
        np.testing.assert_array_equal(opened.read_images(indices_B), dataset.read_images(indices_B))


def test_a_packed_folder_is_opened_by_its_kind(root: Path, tmp_path: Path) -> None:
    write_packed(tmp_path / "packed", read_image_folder(root, PixelRules(8)))
    assert isinstance(open_dataset(tmp_path / "packed"), PackedDataset)


@pytest.mark.parametrize("content", ["{}", '{"kind": "zipped"}', "[]", "not json"])
def test_a_folder_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ArtifactCorruptError, match=r"dataset\.json"):
        open_dataset(tmp_path)


def test_the_fingerprint_is_of_paths_content_labels_and_image_size(root: Path, tmp_path: Path, write_images) -> None:
    fingerprint = index_image_folder(root, PixelRules(8)).fingerprint
    write_images(tmp_path / "elsewhere", TREE)
    assert index_image_folder(tmp_path / "elsewhere", PixelRules(8)).fingerprint == fingerprint
    assert index_image_folder(root, PixelRules(9)).fingerprint != fingerprint
    with (root / "train/cat/0.png").open("ab") as file:
        file.write(b"one more")
    assert index_image_folder(root, PixelRules(8)).fingerprint != fingerprint
    (tmp_path / "elsewhere/train/cat/0.png").rename(tmp_path / "elsewhere/train/cat/00.png")
    assert index_image_folder(tmp_path / "elsewhere", PixelRules(8)).fingerprint != fingerprint


@pytest.mark.parametrize("name", ["paths.npy", "digests.npy", "labels.npy", "dataset.json"])
def test_a_missing_or_truncated_file_of_an_index_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    write_index(tmp_path / "index", index_image_folder(root, PixelRules(8)))
    path = tmp_path / "index" / name
    content = path.read_bytes()
    path.write_bytes(content[:-5])
    with pytest.raises(ArtifactCorruptError, match=name):
        read_index(tmp_path / "index")
    path.unlink()
    with pytest.raises(ArtifactCorruptError, match=name):
        read_index(tmp_path / "index")


@pytest.mark.parametrize("name", ["paths.npy", "digests.npy", "labels.npy"])
def test_an_altered_file_of_an_index_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    write_index(tmp_path / "index", index_image_folder(root, PixelRules(8)))
    content = bytearray((tmp_path / "index" / name).read_bytes())
    content[-8] ^= 1
    (tmp_path / "index" / name).write_bytes(content)
    with pytest.raises(ArtifactCorruptError, match="the index has fingerprint"):
        read_index(tmp_path / "index")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("num_train", 4, "has fingerprint"), ("root", None, "missing or malformed"), ("kind", "packed", "kind must be")],
)
def test_altered_metadata_of_an_index_is_refused(
    root: Path, tmp_path: Path, field: str, value: Any, message: str
) -> None:
    write_index(tmp_path / "index", index_image_folder(root, PixelRules(8)))
    path = tmp_path / "index/dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ArtifactCorruptError, match=message):
        read_index(tmp_path / "index")


def test_a_folder_that_was_moved_away_is_refused(root: Path, tmp_path: Path) -> None:
    dataset = index_image_folder(root, PixelRules(8))
    write_index(tmp_path / "index", dataset)
    (root / "train/cat/1.jpg").unlink()
    with pytest.raises(DataSourceError, match=r"cat/1\.jpg \(No such file"):
        dataset.read_images(np.array([0, 1]))
    root.rename(tmp_path / "moved")
    with pytest.raises(DataSourceError, match=r"data\.path: .*images must be a folder, because .*index is an index of"):
        read_index(tmp_path / "index")


def test_a_broken_link_is_named(root: Path) -> None:
    (root / "train/cat/2.jpg").symlink_to(root / "nowhere.jpg")
    with pytest.raises(DataSourceError, match=r"1 of 6 images below .* cannot be read; .*cat/2\.jpg \(No such file"):
        index_image_folder(root, PixelRules(8))


def test_an_image_size_below_one_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.image_size_pixels must be at least 1, got 0"):
        index_image_folder(root, PixelRules(0))


def test_a_validation_split_is_stored_between_the_others(root: Path, tmp_path: Path, write_images) -> None:
    write_images(root, {"test/cat/0.png": (9, 9), "test/dog/0.png": (9, 9)})
    dataset = index_image_folder(root, PixelRules(8))
    assert (dataset.num_train, dataset.num_validation, len(dataset.labels_N)) == (3, 2, 7)
    write_index(tmp_path / "index", dataset)
    opened = read_index(tmp_path / "index")
    assert (opened.num_train, opened.num_validation, opened.remarks) == (3, 2, dataset.remarks)


def test_an_image_replaced_by_one_of_the_same_size_and_time_changes_the_fingerprint(root: Path) -> None:
    fingerprint = index_image_folder(root, PixelRules(8)).fingerprint
    path = root / "train/dog/0.png"
    content, status = bytearray(path.read_bytes()), path.stat()
    other = Image.fromarray(255 - np.asarray(Image.open(path)))
    other.save(path)
    # Bytes after the end of an image are ignored, so the two files have the same size.
    size = max(len(content), path.stat().st_size)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index_image_folder(root, PixelRules(8)).fingerprint != fingerprint


def test_an_image_that_changes_after_it_was_indexed_is_named(root: Path) -> None:
    dataset = index_image_folder(root, PixelRules(8))
    Image.new("RGB", (16, 16), (1, 2, 3)).save(root / "train/dog/0.png")
    dataset.read_images(np.array([0, 1, 3]))
    with pytest.raises(DataSourceError, match=r"dog/0\.png has changed since the run began; start the run again"):
        dataset.read_images(np.array([0, 2]))


def test_damaged_images_are_all_found_before_the_first_is_used(root: Path) -> None:
    (root / "train/cat/1.jpg").write_bytes((root / "train/cat/1.jpg").read_bytes()[:-40])
    (root / "val/dog/0.png").write_text("no image")
    with pytest.raises(
        DataSourceError, match=r"2 of 5 images below .* cannot be read; .*cat/1\.jpg \(.*truncated.*dog/0\.png \("
    ):
        index_image_folder(root, PixelRules(8))


def test_damaged_images_are_omitted_and_named_on_request(root: Path, tmp_path: Path, write_images) -> None:
    (root / "train/cat/1.jpg").write_bytes(b"")
    dataset = index_image_folder(root, PixelRules(8), skip_damaged=True)
    assert [os.fsdecode(path) for path in dataset.relative_paths_N] == [
        path for path in sorted(TREE) if path[-3:] == "png"
    ]
    assert (dataset.num_train, dataset.labels_N.tolist()) == (2, [0, 1, 0, 1])
    assert dataset.skipped == (SkippedEntries(UNREADABLE, 1, ("train/cat/1.jpg: it is empty",)),)
    raw = read_image_folder(root, PixelRules(8), skip_damaged=True)
    np.testing.assert_array_equal(dataset.read_images(np.arange(4)), raw.images_NCHW)
    write_index(tmp_path / "index", dataset)
    assert read_index(tmp_path / "index").skipped == raw.skipped == dataset.skipped


def test_streamed_pixels_are_scaled_and_composited_like_packed_ones(root: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 2_048, np.uint16)).save(root / "train/cat/0.png")
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(root / "train/dog/0.png")
    rules = PixelRules(8, pixel_range=(0, 4_096), background=(1, 2, 3))
    dataset = index_image_folder(root, rules)
    write_index(tmp_path / "index", dataset)
    images = read_index(tmp_path / "index").read_images(np.array([0, 2]))
    assert images[0].min() == images[0].max() == 128
    assert images[1, :, 0, 0].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(images, read_image_folder(root, rules).images_NCHW[[0, 2]])
    assert index_image_folder(root, PixelRules(8)).fingerprint != dataset.fingerprint
