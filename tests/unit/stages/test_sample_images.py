"""Reports get a few images of each peer from the partition, whose fingerprint does not depend on them."""

import base64
import io

import numpy as np
from PIL import Image

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.pipelines import JOINTKD, PCL
from peerkd.config.resolve import resolve
from peerkd.data.partition.assignment import Assignment
from peerkd.stages.partition_data import partition
from peerkd.stages.sample_images import find_samples
from peerkd.stages.split_data import split


def test_a_partition_has_sample_images_of_its_peers(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    np.savez(tmp_path / "letters.npz", train_images=images, train_labels=labels)
    store = FilesystemStore(tmp_path / "store")
    data = f"data.source=npz data.path={tmp_path / 'letters.npz'} partition.num_peers=2"
    manifest = partition(resolve(JOINTKD, preset="digits", overrides=data), store)
    assert set(manifest.files) == {"assignment.npz"}
    samples = find_samples(manifest, ("north", "south"), store)
    assert [each.name for each in samples] == ["north", "south"]
    own = Assignment.load(store.fetch(manifest.key)).train[0]
    for strip in samples[0].strips:
        first = own[labels[own] == int(strip.class_name)][0]
        header, data = strip.address.split(",")
        assert header == "data:image/png;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert picture.shape == (8, 8 * strip.num_images)
        assert np.array_equal(picture[:, :8], images[first])


def test_a_partition_of_an_earlier_version_has_none(tmp_path):
    store = FilesystemStore(tmp_path)
    with store.open_workspace("partition_data/a"):
        manifest = store.publish("partition_data/a", metadata={"inputs": {}})
    assert find_samples(manifest, ("0", "1"), store) == ()


def test_a_split_has_sample_images_of_its_classes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "letters.npz", train_images=images, train_labels=np.arange(60) % 3)
    store = FilesystemStore(tmp_path / "store")
    data = f"data.source=npz data.path={tmp_path / 'letters.npz'}"
    manifest = split(resolve(PCL, preset="digits", overrides=data), store)
    (samples,) = find_samples(manifest, ("all",), store)
    assert samples.name == "all"
    assert [(strip.class_name, strip.num_images) for strip in samples.strips] == [("0", 3), ("1", 3), ("2", 3)]
