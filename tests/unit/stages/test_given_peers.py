"""Weights of given peers: where they are found, and how they enter the store."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.experiment import ExperimentConfig
from peerkd.errors import DataSourceError
from peerkd.models.build import build_network
from peerkd.stages import partition_data, pretrain_peers
from peerkd.stages.given_peers import NETWORKS_NAME
from peerkd.stages.given_weights import found_weights, publish_weights
from peerkd.stages.planning import prepare

WEIGHTS = build_network("mlp", image_shape_CHW=(1, 8, 8), num_classes=10, seed=3).state_dict()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "hospital").mkdir()
    save_file(WEIGHTS, tmp_path / "hospital" / "best.safetensors")
    return tmp_path / "hospital" / "best.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FilesystemStore(tmp_path / "store")


def config(*weights: object, **changes: Any) -> ExperimentConfig:
    given = [
        {"name": f"peer {number}", "network": "mlp", "weights": None if each is None else str(each)}
        for number, each in enumerate(weights)
    ]
    values: dict[str, Any] = {
        "data": {"max_train_samples": 300},
        "peers": {"given": given},
        "pretrain": {"epochs": 1},
        "compute": {"device": "cpu"},
    }
    return ExperimentConfig.from_mapping(values | changes)


def refusal(weights: object, store: ArtifactStore | None) -> str:
    with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.weights: ") as caught:  # noqa: SIM117
        with found_weights(config(None, weights), store, stage="test"):
            pass
    return str(caught.value)


def test_weights_are_found_in_a_file_a_folder_and_an_artifact(file: Path, store: ArtifactStore) -> None:
    with store.open_workspace("pretrain_peers/0123456789abcdef") as workspace:
        shutil.copyfile(file, workspace.folder / "peer-003.safetensors")
        store.publish("pretrain_peers/0123456789abcdef", metadata={})
    address = "store:pretrain_peers/0123456789abcdef"
    with found_weights(
        config(file, file.parent, address, f"{address}/peer-003.safetensors", None), store, stage="test"
    ) as found:
        assert found[:2] == [file, file]
        assert [path and path.name for path in found[2:]] == ["peer-003.safetensors", "peer-003.safetensors", None]


def test_a_plan_has_no_store_and_looks_for_the_others(file: Path) -> None:
    with found_weights(config(file, "store:pretrain_peers/0123456789abcdef"), None, stage="plan") as found:
        assert found == [file, None]


def test_weights_that_do_not_exist_are_refused(tmp_path: Path, file: Path, store: ArtifactStore) -> None:
    assert refusal(tmp_path / "no.pt", store).endswith(f"that exists, got {tmp_path / 'no.pt'}.")
    assert refusal("no/no.pt", store).endswith(f"that exists, got no/no.pt, which begins at {Path.cwd()}.")
    assert refusal("store:pretrain_peers/0123456789abcdef/a.pt", store).endswith(
        "the store must have the artifact pretrain_peers/0123456789abcdef, and it has not."
    )
    other = file.with_suffix(".ckpt")
    other.write_bytes(b"")
    assert refusal(other, store).endswith(f"a file must end in .safetensors, .pt, .pth, got {other}.")
    shutil.copyfile(file, file.with_name("last.safetensors"))
    assert "contains best.safetensors, last.safetensors; name the file." in refusal(file.parent, store)


def test_a_missing_file_is_found_before_any_images_are_read(tmp_path: Path, file: Path) -> None:
    (tmp_path / "broken").mkdir()
    given = [
        {"name": name, "network": "mlp", "weights": str(weights), "data": str(tmp_path / folder)}
        for name, weights, folder in (("a", file, "broken"), ("b", "no.pt", "broken"), ("c", file, "none"))
    ]
    study = ExperimentConfig.from_mapping({"peers": {"given": given}, "data": {"source": "peers"}})
    with pytest.raises(
        ValueError, match=r"^peers\.given\[1\]\.weights: it must be a file or a folder that exists, got no"
    ):
        prepare(study, None)
    del given[1]["weights"]
    study = ExperimentConfig.from_mapping({"peers": {"given": given}, "data": {"source": "peers"}})
    with pytest.raises(DataSourceError, match=r"^peers\.given\[2\]\.data: .*none does not exist; check the path\.$"):
        prepare(study, None)


def test_a_file_of_another_name_in_an_artifact_is_refused(file: Path, store: ArtifactStore) -> None:
    with store.open_workspace("pretrain_peers/0123456789abcdef") as workspace:
        shutil.copyfile(file, workspace.folder / "peer-000.safetensors")
        store.publish("pretrain_peers/0123456789abcdef", metadata={})
    message = refusal("store:pretrain_peers/0123456789abcdef/peer-007.safetensors", store)
    assert "which has peer-000.safetensors, got " in message


def test_equal_weights_are_stored_once(tmp_path: Path, file: Path, store: ArtifactStore) -> None:
    moved = tmp_path / "moved.safetensors"
    shutil.copyfile(file, moved)
    first, second, third = publish_weights([file, moved, None], store)
    assert first == second
    assert third is None
    assert len(store.keys()) == 1


def test_a_file_that_changes_while_it_is_copied_is_refused(
    file: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def copy_late(source: Path, target: Path) -> None:
        save_file({**WEIGHTS, "classifier.bias": WEIGHTS["classifier.bias"] + 1}, source)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy_late)
    with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.weights must not change while they are read, and "):
        publish_weights([None, file], store)
    assert store.keys() == []
    monkeypatch.undo()
    (_, reference) = publish_weights([None, file], store)
    assert reference is not None


def test_given_peers_are_imported_bit_for_bit_and_the_others_trained(
    file: Path, store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(experiment: ExperimentConfig) -> Any:
        partition = partition_data.partition(experiment, store, num_processes=0)
        return pretrain_peers.STAGE.make(experiment, partition, store)

    both = config(file, None, compute={"device": "cpu", "num_workers": 1})
    peers = make(both)
    folder = store.fetch(peers.key)
    imported = load_file(folder / "peer-000.safetensors")
    assert all(torch.equal(imported[name], WEIGHTS[name]) for name in WEIGHTS)
    assert [record["is_finite"] for record in peers.metadata["peers"]] == [True, True]
    assert json.loads((folder / NETWORKS_NAME).read_text()) == [{"network": "mlp"}, {"network": "mlp"}]
    # The weights were copied, so the file may be gone, or elsewhere, once the partition exists.
    moved = file.rename(file.with_name("moved.safetensors"))
    capsys.readouterr()
    assert make(config(moved, None)).key == peers.key
    assert "pretrain_peers: already done: 2 peers" in capsys.readouterr().out


def test_weights_that_do_not_fit_stop_a_run_before_anything_is_written(
    tmp_path: Path, file: Path, store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "nan.safetensors"
    save_file({**WEIGHTS, "hidden2.0.bias": WEIGHTS["hidden2.0.bias"] * float("nan")}, bad)
    with pytest.raises(ValueError, match=r"^peers\.given\[1\]\.weights must contain finite .* NaN .*hidden2\.0\.bias"):
        partition_data.partition(config(file, bad), store, num_processes=0)
    assert "peer 1 (peer 1): 1 with NaN or infinite numbers: hidden2.0.bias" in capsys.readouterr().out
    assert store.keys() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weights": "other.safetensors"}, "peers.given[1].weights must fit the network "),
        ({"weights": "nan.safetensors"}, "peers.given[1].weights must contain finite numbers, got "),
        ({"network": "tests.own_networks:raises"}, "peers.given[1].network must be built by a call "),
        (
            {"classes": ["zero", *map(str, range(1, 10))]},
            "peers.given[1].classes must be classes that the data set has",
        ),
        ({"data": "no-validation.npz"}, "peers.given[1].data must have at least one validation sample, got none "),
        ({"name": "peer 0"}, "peers.given must have a different name for each peer, got "),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_anything_is_written(
    changes: dict[str, Any], field: str, tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 10
    np.savez("all.npz", images=images, labels=labels)
    # One sample is too few for a validation set beside a test set of its own.
    np.savez(
        "no-validation.npz", train_images=images[:1], train_labels=labels[:1], test_images=images, test_labels=labels
    )
    save_file(
        build_network("small_cnn", image_shape_CHW=(1, 8, 8), num_classes=10, seed=3).state_dict(), "other.safetensors"
    )
    save_file({**WEIGHTS, "hidden2.0.bias": WEIGHTS["hidden2.0.bias"] * float("nan")}, "nan.safetensors")
    first = {"name": "peer 0", "network": "mlp", "data": "all.npz"}
    values = {"data": {"source": "peers"}, "peers": {"given": [first, {**first, "name": "peer 1", **changes}]}}
    with pytest.raises(ValueError, match=r"^peers\.given") as caught:
        partition_data.partition(ExperimentConfig.from_mapping(values), store, num_processes=0)
    assert str(caught.value).startswith(field)
    assert "\n" not in str(caught.value)
    assert store.keys() == []
