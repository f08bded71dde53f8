"""Data sets in a bucket are read like those in a folder, from a real server."""

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from peerkd.artifacts.objects import download_folder
from peerkd.artifacts.open import open_store
from peerkd.artifacts.s3 import open_bucket
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.config.data import DataConfig
from peerkd.stages.dataset import key, open_source, publish_source, read_dataset
from tests.s3_server import S3Server

STAGE = "partition_data"


@pytest.fixture
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.bucket}/{uuid4().hex}"


@pytest.fixture
def bucket(address: str) -> Bucket:
    return open_bucket(address, notify=pytest.fail)[0]


@pytest.fixture
def prefix(address: str) -> str:
    return address.rpartition("/")[2]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root, rng = tmp_path / "images", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(rng.integers(256, size=(6, 6, 3), dtype=np.uint8)).save(root / name / f"{number}.png")
    return root


def upload(bucket: Bucket, root: Path, prefix: str) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            bucket.put(f"{prefix}/{path.relative_to(root.parent)}", path.read_bytes())


def test_images_in_a_bucket_are_those_of_the_folder(images: Path, address: str, bucket: Bucket, prefix: str) -> None:
    upload(bucket, images, prefix)
    bucket.put(f"{prefix}/images-of-others/fox/1.png", b"no image")
    here = read_dataset(STAGE, DataConfig(source="image_folder", path=str(images)), seed=0)
    there = read_dataset(STAGE, DataConfig(source="image_folder", path=f"{address}/images"), seed=0)
    np.testing.assert_array_equal(here.images_NCHW, there.images_NCHW)
    assert (there.name, there.class_names, there.labels_N.tolist()) == (
        "images",
        here.class_names,
        here.labels_N.tolist(),
    )


def test_arrays_in_a_bucket_are_read(address: str, bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.arange(6) % 2)
    bucket.put(f"{prefix}/a.npz", (tmp_path / "a.npz").read_bytes())
    raw = read_dataset(STAGE, DataConfig(source="npz", path=f"{address}/a.npz"), seed=0)
    assert (raw.name, len(raw.labels_N)) == ("a", 6)


def test_a_data_set_is_read_again_only_if_an_object_changes(
    images: Path, address: str, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    upload(bucket, images, prefix)
    data = DataConfig(source="image_folder", path=f"{address}/images")
    store = open_store(str(tmp_path / "store"))
    publish_source(open_source(STAGE, data, seed=0, store=store), store)
    assert open_source(STAGE, data, seed=0, store=store).published
    before = key(data, 0, stage=STAGE)
    bucket.put(f"{prefix}/images/cat/0.png", (images / "dog/0.png").read_bytes())
    assert key(data, 0, stage=STAGE) != before
    assert not open_source(STAGE, data, seed=0, store=store).published


def test_progress_counts_objects_and_the_copy_is_below_the_folder(
    address: str, bucket: Bucket, prefix: str, tmp_path: Path
) -> None:
    for name in ("a/1", "a/b/2"):
        bucket.put(f"{prefix}/data/{name}", name.encode())
    seen: list[tuple[int, int]] = []
    path = download_folder(
        f"{address}/data", tmp_path, notify=lambda text: None, progress=lambda *numbers: seen.append(numbers)
    )
    assert path == tmp_path / "data"
    assert {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()} == {
        "a/1": "a/1",
        "a/b/2": "a/b/2",
    }
    assert seen == [(2, 2)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "must be an object or a folder of objects in the bucket, and none exists"),
        (["data/a", "data/a/b"], "must not have an object with the name of a folder"),
    ],
)
def test_objects_that_are_no_folder_are_refused(
    address: str, bucket: Bucket, prefix: str, tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        bucket.put(f"{prefix}/{name}", b"content")
    with pytest.raises(ValueError, match=message):
        download_folder(f"{address}/data", tmp_path, notify=lambda text: None, progress=lambda *numbers: None)


def test_streamed_images_cannot_be_in_a_bucket() -> None:
    with pytest.raises(ValueError, match=r"storage must be packed when path is an address in a bucket"):
        DataConfig(source="image_folder", path="s3://bucket/images", storage="streamed", image_size_pixels=8)
