"""Data of peers in the store: a data set of an earlier run, or the samples of one of its peers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.cli.main import app
from peerkd.config.data import DataConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.resolve import to_yaml
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.stages.dataset import open_source, publish_source
from peerkd.stages.partition_data import partition
from peerkd.stages.peer_data import read_data


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FilesystemStore(tmp_path / "store")


@pytest.fixture
def earlier(store: ArtifactStore) -> Manifest:
    """The partition of an earlier run, with three peers."""
    config = ExperimentConfig.from_mapping({"data": {"max_train_samples": 300}, "partition": {"num_peers": 3}})
    return partition(config, store, num_processes=0)


def config(*data: str) -> ExperimentConfig:
    given: list[dict[str, Any]] = [
        {"name": f"p{number}", "network": "mlp", "data": each} for number, each in enumerate(data)
    ]
    return ExperimentConfig.from_mapping({"data": {"source": "peers"}, "peers": {"given": given}})


def test_the_samples_of_a_peer_and_their_splits_are_those_of_the_earlier_run(
    store: ArtifactStore, earlier: Manifest
) -> None:
    whole = earlier.metadata["inputs"]["dataset"]["key"]
    made = partition(config(f"store:{earlier.key}/2", f"store:{whole}"), store, num_processes=0)
    before, after = Assignment.load(store.fetch(earlier.key)), Assignment.load(store.fetch(made.key))
    old, new = (open_dataset(store.fetch(each.metadata["inputs"]["dataset"]["key"])) for each in (earlier, made))
    for name in ("train", "own_validation", "own_test"):
        theirs, ours = getattr(before, name)[2], getattr(after, name)[0]
        np.testing.assert_array_equal(old.read_images(theirs), new.read_images(ours))
        np.testing.assert_array_equal(old.labels_N[theirs], new.labels_N[ours])
    # The second peer has the whole data set, whose test split it keeps.
    assert len(after.own_test[1]) == len(old.labels_N) - old.num_train
    assert new.class_names == old.class_names


def test_the_key_of_the_data_depends_on_the_peer(store: ArtifactStore, earlier: Manifest) -> None:
    keys = [
        partition(config(f"store:{earlier.key}/{peer}", f"store:{earlier.key}/0"), store, num_processes=0).key
        for peer in (1, 2, 1)
    ]
    assert keys[0] == keys[2] != keys[1]


def test_data_that_the_store_does_not_have_are_refused_with_similar_keys(
    store: ArtifactStore, earlier: Manifest
) -> None:
    for address, message in (
        (
            "store:partition_data/0123456789abcdef/0",
            f"the store must have the artifact partition_data/0123456789abcdef, and it has not; the store has "
            f"{earlier.key}.",
        ),
        (f"store:{earlier.key}/3", f"the peer must be from 0 to 2 in {earlier.key}, got 3."),
    ):
        with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.data: ") as caught:
            partition(config(f"store:{earlier.key}/0", address), store, num_processes=0)
        assert str(caught.value) == f"peers.given[1].data: {message}"


def test_images_that_are_not_in_the_store_are_refused(tmp_path: Path, store: ArtifactStore) -> None:
    for number in range(4):
        (tmp_path / "images" / str(number % 2)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "images" / str(number % 2) / f"{number}.png")
    data = DataConfig(source="image_folder", path=str(tmp_path / "images"), storage="streamed", image_size_pixels=8)
    key = publish_source(open_source("test", data, seed=0, store=store), store).key
    with pytest.raises(ValueError, match=r"^peers\.given\[0\]\.data: the images must be in the store, got "):
        read_data("test", config(f"store:{key}", f"store:{key}"), store=store)


@pytest.mark.parametrize(
    "address",
    [
        "store:pretrain_peers/0123456789abcdef",
        "store:partition_data/0123456789abcdef",
        "store:dataset/0123456789abcdef/0",
        "store:dataset/here",
    ],
)
def test_an_artifact_of_another_kind_is_refused_by_the_config(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"^peers\.given\[1\]\.data in the store must be store:dataset/KEY or "
    ) as caught:
        config("images", address)
    assert str(caught.value).endswith(f", got {address}.")


def test_a_plan_reads_the_store_that_its_options_name(
    tmp_path: Path, store: ArtifactStore, earlier: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(to_yaml(config(f"store:{earlier.key}/0", f"store:{earlier.key}/1")), encoding="utf-8")
    options = ["plan", "jointkd", "--config", str(file), "--no-measure"]
    planned = CliRunner().invoke(app, [*options, "--output", str(tmp_path / "store")])
    assert planned.exit_code == 0, planned.output
    assert "p0 has " in planned.output
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, options)
    told = (
        f"output must be the folder of a store, got runs, which begins at {tmp_path}: no such folder exists; call the "
        "command where the run was started, or name its store with --output."
    )
    assert str(refused.exception) == told
