from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.data import DataConfig
from peerkd.data.dataset import RawDataset
from peerkd.data.sources import read_source
from peerkd.data.sources.image_folder import UNREADABLE
from peerkd.data.streamed import open_dataset
from peerkd.data.wording import WARNING
from peerkd.stages.dataset import (
    key,
    open_source,
    print_remarks,
    publish_source,
    published_remarks,
    read_dataset,
    reading_progress,
    remark_lines,
)
from peerkd.stages.hold_out import split_off_test


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    return FilesystemStore(tmp_path / "runs")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with four images of two classes in each of three splits, which are links, and a text file."""
    for split in ("train", "valid", "test"):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "real" / split / name
            folder.mkdir(parents=True)
            for level in (10, 20):
                Image.new("RGB", (4, 4), (level + number,) * 3).save(folder / f"{level}.png")
        (tmp_path / "view").mkdir(exist_ok=True)
        (tmp_path / "view" / split).symlink_to(tmp_path / "real" / split)
    (tmp_path / "view/README.txt").write_text("pets")
    return tmp_path / "view"


def config(root: Path, storage: str, **fields: object) -> DataConfig:
    values = {"source": "image_folder", "path": str(root), "storage": storage, "image_size_pixels": 4, **fields}
    return DataConfig.from_mapping(values)


def test_a_warning_does_not_begin_with_the_name_of_the_data_set() -> None:
    raw = replace(read_source("digits", path=None), remarks=("a remark", f"{WARNING}A sentence."))
    assert remark_lines(raw) == ["digits: a remark", "warning: A sentence."]


@pytest.mark.parametrize("storage", ["packed", "streamed"])
def test_read_and_skipped_entries_are_printed_and_published(
    root: Path, store: FilesystemStore, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for _ in range(2):
        source = open_source("partition_data", config(root, storage), seed=0, store=store)
        assert (source.dataset.num_train, source.dataset.num_validation, len(source.dataset.labels_N)) == (4, 4, 12)
        published = publish_source(source, store)
        print_remarks("partition_data", source.dataset)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0] == (
        "peerkd | partition_data: view: the folder valid is the validation split, on which every choice is made\n"
        "peerkd | partition_data: view: skipped: files of other formats: 1 (README.txt)\n"
    )
    assert published_remarks(published) == tuple(line.partition("view: ")[2] for line in said[0].splitlines())


@pytest.mark.parametrize("storage", ["packed", "streamed"])
def test_a_changed_image_behind_a_link_gives_another_data_set(root: Path, store: FilesystemStore, storage: str) -> None:
    first = open_source("partition_data", config(root, storage), seed=0, store=store)
    fingerprint = publish_source(first, store).metadata["fingerprint"]
    Image.new("RGB", (4, 4), (200, 0, 0)).save(root / "test/dog/20.png")
    second = open_source("partition_data", config(root, storage), seed=0, store=store)
    assert second.published is None
    assert publish_source(second, store).metadata["fingerprint"] != fingerprint
    np.testing.assert_array_equal(
        open_dataset(store.fetch(second.key)).read_images(np.array([11]))[0, :, 0, 0], [200, 0, 0]
    )


@pytest.mark.parametrize("storage", ["packed", "streamed"])
def test_a_touched_image_is_read_again_and_gives_the_same_data_set(
    root: Path, store: FilesystemStore, storage: str
) -> None:
    first = publish_source(open_source("partition_data", config(root, storage), seed=0, store=store), store)
    (root / "test/dog/20.png").touch()
    second = open_source("partition_data", config(root, storage), seed=0, store=store)
    assert second.published is None
    assert publish_source(second, store).metadata["fingerprint"] == first.metadata["fingerprint"]


def test_every_field_that_changes_pixels_or_samples_is_in_the_key(root: Path, store: FilesystemStore) -> None:
    fields: list[dict[str, object]] = [{}, {"skip_damaged": True}, {"background": [0, 0, 0]}, {"pixel_range": [0, 9]}]
    found = {open_source("partition_data", config(root, "packed", **each), seed=0, store=store).key for each in fields}
    assert len(found) == 4
    assert (
        open_source("partition_data", config(root, "packed", background=[255, 255, 255]), seed=0, store=store).key
        in found
    )


@pytest.mark.parametrize(
    ("limits", "num_train", "num_test"),
    [
        ({"max_train_samples": 120}, 120, 449),
        ({"max_test_samples": 10}, 1_348, 10),
        ({"max_train_samples": 120, "max_test_samples": 10}, 120, 10),
        ({"max_train_samples": 9_999, "max_test_samples": 9_999}, 1_348, 449),
    ],
)
def test_limits_apply_to_the_parts_of_a_data_set_without_splits(
    limits: dict[str, int], num_train: int, num_test: int
) -> None:
    whole = DataConfig(test_fraction=0.25)
    limited = read_dataset("plan", whole.model_copy(update=limits), seed=3)
    assert isinstance(limited, RawDataset)
    assert (limited.num_train, len(limited.labels_N) - limited.num_train) == (num_train, num_test)
    complete = read_source("digits", path=None)
    for part, kept in zip(split_off_test(whole, complete, seed=3), split_off_test(whole, limited, seed=3), strict=True):
        known = {image.tobytes() for image in complete.images_NCHW[part]}
        assert {image.tobytes() for image in limited.images_NCHW[kept]} <= known


def test_the_test_fraction_is_in_the_key_of_a_limited_data_set_alone() -> None:
    keys = {
        limit: {
            key(DataConfig(max_test_samples=limit, test_fraction=fraction), 0, stage="test") for fraction in (0.2, 0.3)
        }
        for limit in (None, 10)
    }
    assert {limit: len(each) for limit, each in keys.items()} == {None: 1, 10: 2}


def test_omitted_images_are_in_the_manifest(root: Path, store: FilesystemStore) -> None:
    (root / "train/dog/20.png").write_bytes(b"")
    source = open_source("partition_data", config(root, "streamed", skip_damaged=True), seed=0, store=store)
    metadata = publish_source(source, store).metadata
    assert metadata["num_samples"] == 11
    assert {"kind": UNREADABLE, "num": 1, "examples": ["train/dog/20.png: it is empty"]} in metadata["skipped"]


def test_progress_is_printed_every_few_seconds_while_a_data_set_is_read() -> None:
    seconds = iter(np.arange(0, 100, 3.0))
    said: list[str] = []
    report = reading_progress(
        "plan", write=lambda stage, text: said.append(f"{stage}: {text}"), clock=lambda: next(seconds)
    )
    for num_read in (64, 128, 192, 256, 320):
        report(num_read, 1_000)
    assert said == ["plan: read 128 of 1,000 images", "plan: read 256 of 1,000 images"]
