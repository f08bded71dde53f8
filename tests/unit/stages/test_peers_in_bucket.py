"""Weights, data and index files of peers in a bucket of a real server, and the refusals before anything is written."""

import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from safetensors.torch import save

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.s3 import open_bucket
from peerkd.artifacts.s3_bucket import Bucket
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.experiment import ExperimentConfig
from peerkd.data.partition.assignment import Assignment
from peerkd.errors import DataSourceError
from peerkd.models.build import build_network
from peerkd.stages.partition_data import partition
from tests.s3_proxy import proxy_to
from tests.s3_server import S3Server

NUM_SAMPLES = 60


def weights(name: str) -> bytes:
    return save(build_network(name, image_shape_CHW=(1, 8, 8), num_classes=10, seed=3).state_dict())


def arrays() -> bytes:
    file = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (NUM_SAMPLES, 8, 8), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(NUM_SAMPLES) % 10)
    return file.getvalue()


@pytest.fixture
def address(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.bucket}/{uuid4().hex}"


@pytest.fixture
def bucket(address: str) -> Bucket:
    """The bucket, with the weights and the data of two hospitals."""
    bucket, prefix = open_bucket(address, notify=pytest.fail)
    objects = {"north.safetensors": weights("mlp"), "south.safetensors": weights("small_cnn")}
    objects |= {"north.npz": arrays(), "south.npz": arrays()}
    objects |= {"cut.safetensors": objects["south.safetensors"][:-9], "cut.npz": objects["south.npz"][:-99]}
    for name, content in objects.items():
        bucket.put(f"{prefix}/{name}", content)
    return bucket


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FilesystemStore(tmp_path / "store")


def config(address: str, **changes: Any) -> ExperimentConfig:
    """Return the config of a study of the hospitals; ``changes`` are those of the second one."""
    north, south = (
        {"name": name, "network": network, "weights": f"{address}/{name}.safetensors", "data": f"{address}/{name}.npz"}
        for name, network in (("north", "mlp"), ("south", "small_cnn"))
    )
    return ExperimentConfig.from_mapping({"data": {"source": "peers"}, "peers": {"given": [north, south | changes]}})


@pytest.mark.usefixtures("bucket")
def test_peers_in_a_bucket_are_copied_into_the_store(address: str, store: ArtifactStore) -> None:
    classes = [*map(str, range(9, -1, -1))]
    made = partition(config(address, classes=classes), store, num_processes=0)
    assert [key.partition("/")[0] for key in sorted(store.keys())].count("weights") == 2
    assert [len(part) for part in Assignment.load(store.fetch(made.key)).train] == [38, 38]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("weights", "{address}/no.safetensors", "{address}/no.safetensors must be an object in the bucket, and none "),
        ("weights", "s3://no-such-bucket/a.pt", "The store {endpoint} has no bucket no-such-bucket: create it, "),
        ("weights", "{address}/cut.safetensors", "weights must be a safetensors file, got cut.safetensors: "),
        ("weights", "{address}/north.safetensors", "weights must fit the network small_cnn, got "),
        ("data", "{address}/no", "{address}/no must be an object or a folder of objects in the bucket, and none "),
        ("data", "s3://no-such-bucket/a.npz", "The store {endpoint} has no bucket no-such-bucket: create it, "),
        ("data", "{address}/cut.npz", "{address}/cut.npz"),
        ("classes", ["10", "1"], "classes must be classes that the data set has"),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_what_is_missing_or_damaged_is_refused_in_a_sentence(
    field: str, value: Any, expected: str, address: str, s3_server: S3Server, store: ArtifactStore
) -> None:
    given = value.format(address=address) if isinstance(value, str) else value
    with pytest.raises((ValueError, DataSourceError)) as caught:
        partition(config(address, **{field: given}), store, num_processes=0)
    said = str(caught.value)
    assert said.startswith(f"peers.given[1].{field}")
    assert expected.format(address=address, endpoint=s3_server.endpoint) in said
    assert said.endswith(".")
    assert "\n" not in said
    assert "/tmp" not in said
    assert not store.keys()


@pytest.mark.parametrize(("field", "pattern"), [("weights", r"south\.safetensors"), ("data", r"GET .*list-type")])
@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_may_not_be_read_is_named_with_the_peer(
    field: str,
    pattern: str,
    address: str,
    s3_server: S3Server,
    store: ArtifactStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with proxy_to(s3_server.endpoint) as proxy:
        monkeypatch.setenv("PEERKD_S3_ENDPOINT", proxy.endpoint)
        proxy.fail(pattern, "403", times=99)
        with pytest.raises(
            ValueError, match=rf"^peers\.given\[[01]\]\.{field}: The store .* denies these credentials "
        ):
            partition(config(address), store, num_processes=0)
    assert not store.keys()


def test_index_files_are_read_from_a_bucket(address: str, bucket: Bucket, store: ArtifactStore) -> None:
    prefix = address.rpartition("/")[2]
    lists = {"0.txt": range(100), "1.txt": range(100, 250)}
    for name, indices in lists.items():
        bucket.put(f"{prefix}/{name}", "".join(f"{index}\n" for index in indices).encode())

    def listed(*names: str) -> ExperimentConfig:
        skew = {"kind": "indices", "files": [f"{address}/{name}" for name in names]}
        return ExperimentConfig.from_mapping({"partition": {"label_skew": skew}})

    made = partition(listed(*lists), store, num_processes=0)
    parts = Assignment.load(store.fetch(made.key)).train
    assert [set(part) <= set(lists[name]) for part, name in zip(parts, lists, strict=True)] == [True, True]
    with pytest.raises(ValueError, match=r"^partition\.label_skew\.files\[1\]: s3://.*/2\.txt must be an object in "):
        partition(listed("0.txt", "2.txt"), store, num_processes=0)
    bucket.put(f"{prefix}/3.txt", b"north\n")
    with pytest.raises(DataSourceError, match=rf"files\[1\]: {address}/3\.txt must contain one whole number per line"):
        partition(listed("0.txt", "3.txt"), store, num_processes=0)
