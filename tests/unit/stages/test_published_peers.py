"""Studies that start from the peers of an earlier run: a second round of distillation."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import Manifest
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.reporting.model_card import from_json
from peerkd.stages import distill_pairs, improve_peers, partition_data, pretrain_peers
from peerkd.stages.given_peers import NETWORKS_NAME
from peerkd.stages.in_process import run_in_process
from peerkd.stages.published_peers import _in_words, find_published

ROUND = (
    "partition.num_peers=2 data.max_train_samples=300 distill.epochs=1 peers.architectures=[mlp] "
    "sweep.temperatures=[1] sweep.alphas=[0.5] sweep.transfer_sets=[student] compute.device=cpu"
)
FIRST = f"{ROUND} pretrain.epochs=2"


class Rounds(NamedTuple):
    root: Path
    peers: Manifest
    improved: Manifest


def config(overrides: str) -> ExperimentConfig:
    return resolve(JOINTKD, preset="digits", overrides=overrides)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    """The store of a finished first round, without its report."""
    root = tmp_path_factory.mktemp("first") / "store"
    store, settings = FilesystemStore(root), config(FIRST)
    peers = pretrain_peers.STAGE.make(settings, partition_data.partition(settings, store, num_processes=0), store)
    trials = distill_pairs.STAGE.make(settings, peers, store)
    return Rounds(root, peers, improve_peers.STAGE.make(settings, trials, store))


@pytest.fixture
def store(first: Rounds, tmp_path: Path) -> FilesystemStore:
    shutil.copytree(first.root, tmp_path / "store")
    return FilesystemStore(tmp_path / "store")


def import_peers(store: FilesystemStore, overrides: str) -> Manifest:
    settings = config(overrides)
    partition = partition_data.partition(settings, store, num_processes=0)
    return pretrain_peers.STAGE.make(settings, partition, store)


def test_a_second_round_starts_from_the_better_peers_of_the_first(first: Rounds, store: FilesystemStore) -> None:
    peers = import_peers(store, f"{ROUND} peers.from={first.improved.key}")
    folder, published = store.fetch(peers.key), store.fetch(first.improved.key)
    for peer, record in enumerate(peers.metadata["peers"]):
        before, after = (
            load_file(published / f"student-{peer:03d}.safetensors"),
            load_file(folder / f"peer-{peer:03d}.safetensors"),
        )
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        card = from_json((published / f"student-{peer:03d}.json").read_text(encoding="utf-8"))
        assert {name: record[name] for name in card.accuracy_after} == card.accuracy_after
    assert json.loads((folder / NETWORKS_NAME).read_text(encoding="utf-8")) == [{"network": "mlp"}] * 2


def test_a_whole_second_round_is_one_command(first: Rounds, store: FilesystemStore, tmp_path: Path) -> None:
    settings = config(f"{ROUND} peers.from={first.improved.key}")
    report = run_in_process(settings, str(tmp_path / "store"))
    assert report.startswith("build_report/")
    rounds = [key for key in store.keys() if key.startswith("improve_peers/")]  # noqa: SIM118
    assert len(rounds) == 2
    (second,) = set(rounds) - {first.improved.key}
    # A third round can follow in the same way.
    found = find_published(config(f"{ROUND} peers.from={second}"), store)
    assert found is not None
    assert found.files == ("student-000.safetensors", "student-001.safetensors")


def test_the_peers_before_any_distillation_can_be_taken_again(first: Rounds, store: FilesystemStore) -> None:
    peers = import_peers(store, f"{ROUND} peers.from={first.peers.key}")
    assert peers.key != first.peers.key
    for name in ("peer-000.safetensors", "peer-001.safetensors"):
        assert peers.files[name] == first.peers.files[name]


def test_the_key_of_imported_peers_is_that_of_their_content(first: Rounds, store: FilesystemStore) -> None:
    key = "pretrain_peers/" + "5" * 16
    shutil.copytree(Path(store.fetch(first.peers.key)), store.fetch(first.peers.key).parent / ("5" * 16))
    manifest = Manifest(key=key, files=first.peers.files, metadata=first.peers.metadata)
    (store.fetch(first.peers.key).parent / ("5" * 16) / "manifest.json").write_text(manifest.to_json())
    one, two = (import_peers(store, f"{ROUND} peers.from={each}").key for each in (first.peers.key, key))
    assert one == two


def test_weights_of_given_peers_have_no_effect(first: Rounds, store: FilesystemStore) -> None:
    given = [{"name": f"peer {number}", "network": "mlp", "weights": "nowhere.pt"} for number in range(2)]
    values = config(ROUND).model_dump(mode="json")
    values["peers"] = {"given": given, "from": first.improved.key}
    settings = ExperimentConfig.from_mapping(values)
    assert settings.num_trained_peers == 0
    partition = partition_data.partition(settings, store, num_processes=0)
    peers = pretrain_peers.STAGE.make(settings, partition, store)
    assert [record["is_finite"] for record in peers.metadata["peers"]] == [True, True]


REFUSED: list[tuple[str, str]] = [
    (
        "peers.from=improve_peers/0123456789abcdef",
        "peers.from must be the key of an artifact in the store with peers, got improve_peers/0123456789abcdef; the "
        "store has improve_peers/",
    ),
    ("partition.num_peers=3", "peers.from must have as many peers as partition.num_peers, 3, got 2 in improve_peers/"),
    (
        "peers.architectures=[mlp,small_cnn]",
        "peers.from must have the networks of the config, which has small_cnn for peer 1, got mlp in improve_peers/",
    ),
    ("seed=1", "peers.from must be trained on this data set, got peers of another one in improve_peers/"),
    ("data.validation_fraction=0.3", "peers.from must be trained on this partition of the data set, got peers of"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[change for change, _ in REFUSED])
def test_peers_that_do_not_fit_are_refused_before_anything_is_written(
    first: Rounds, store: FilesystemStore, change: str, message: str
) -> None:
    keys = store.keys()
    with pytest.raises(ValueError, match=r"^peers\.from must") as caught:
        partition_data.partition(config(f"{ROUND} peers.from={first.improved.key} {change}"), store, num_processes=0)
    assert str(caught.value).startswith(message)
    assert store.keys() == keys


def test_a_store_without_peers_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"got pretrain_peers/0123456789abcdef; the store has none\.$"):
        find_published(config("peers.from=pretrain_peers/0123456789abcdef"), FilesystemStore(tmp_path))


def test_a_peer_that_diverged_in_the_earlier_run_is_named(first: Rounds, store: FilesystemStore) -> None:
    key = "pretrain_peers/" + "7" * 16
    with store.open_workspace(key) as workspace:
        shutil.copyfile(
            store.fetch(first.peers.key) / "peer-000.safetensors", workspace.folder / "peer-000.safetensors"
        )
        store.publish(key, metadata=first.peers.metadata)
    with pytest.raises(ValueError, match=r"got none of peer 1 in pretrain_peers/7+, because its pre-training diverged"):
        find_published(config(f"{ROUND} peers.from={key}"), store)


def test_other_classes_are_refused(first: Rounds, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    published = find_published(config(f"{ROUND} peers.from={first.peers.key}"), store)
    assert published is not None
    metadata: dict[str, Any] = {**published.dataset.metadata, "class_names": ["cat", "dog"]}
    other = published._replace(dataset=Manifest(key="dataset/0", files={}, metadata=metadata))
    monkeypatch.setattr(partition_data, "find_published", lambda *_: other)
    with pytest.raises(
        ValueError, match=r"^peers\.from must have the classes of the data set, 0, 1, .* got cat, dog in"
    ):
        partition_data.partition(config(ROUND), store, num_processes=0)


@pytest.mark.parametrize(
    ("ours", "theirs", "described"),
    [
        ({}, {}, ("mlp", "mlp")),
        ({"classes": ["a", "b"]}, {"classes": ["a", "c"]}, ("mlp with classes[1]=b", "mlp with classes[1]=c")),
        ({"mean": [0.5]}, {"mean": [0.5, 0.5]}, ("mlp with mean of 1 entry", "mlp with mean of 2 entries")),
        (
            {"image_size_pixels": 8, "std": [1]},
            {"std": [1]},
            ("mlp with image_size_pixels=8", "mlp with no image_size_p"),
        ),
    ],
)
def test_what_differs_between_two_networks_of_one_name_is_said(ours: Any, theirs: Any, described: Any) -> None:
    one, two = {"network": "mlp", **ours}, {"network": "mlp", **theirs}
    assert _in_words(one, two) == described[0]
    assert _in_words(two, one).startswith(described[1])
