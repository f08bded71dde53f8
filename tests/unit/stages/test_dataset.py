from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.data import DataConfig
from peerkd.data.sources.image_folder import UNREADABLE
from peerkd.data.streamed import open_dataset
from peerkd.stages.dataset import open_source, print_remarks, publish_source, published_remarks, reading_progress


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
