"""Data sets that peers bring: read from their own paths, and divided as their owners have them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.partition.assignment import Assignment
from peerkd.data.sources.joined import OWNER_COLUMN
from peerkd.data.streamed import open_dataset
from peerkd.errors import DataSourceError
from peerkd.models.build import build_network
from peerkd.stages.division import divide
from peerkd.stages.partition_data import partition
from peerkd.stages.peer_data import read_data

NUM = 30


def folder(root: Path, *classes: str, splits: tuple[str, ...] = ("",), num: int = NUM) -> Path:
    rng = np.random.default_rng(len(classes))
    for split in splits:
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for number in range(num):
                pixels = rng.integers(0, 256, (6, 6), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def config(*paths: object, **sections: Any) -> ExperimentConfig:
    given = [
        {"name": f"p{number}", "network": "mlp", "data": None if path is None else str(path)}
        for number, path in enumerate(paths)
    ]
    return ExperimentConfig.from_mapping({"data": {"source": "peers"}, "peers": {"given": given}, **sections})


def test_own_splits_are_used_and_missing_ones_are_cut(tmp_path: Path) -> None:
    whole = folder(tmp_path / "a", "cat", "dog")
    split = folder(tmp_path / "b", "dog", "owl", splits=("train", "val", "test"), num=10)
    experiment = config(whole, split)
    raw = read_data("test", experiment)
    assignment = divide(experiment, raw)
    owners = raw.columns[OWNER_COLUMN]
    for peer, sizes in enumerate([(43, 5, 12), (20, 20, 20)]):
        parts = [parts[peer] for parts in (assignment.train, assignment.own_validation, assignment.own_test)]
        assert tuple(map(len, parts)) == sizes
        assert all((owners[part] == peer).all() for part in parts)
        assert len(np.unique(np.concatenate(parts))) == sum(sizes)
    assert raw.class_names == ("cat", "dog", "owl")
    assert set(raw.labels_N[assignment.train[1]].tolist()) == {1, 2}
    # Without another data set, the global sets are the unions of the own ones, and nothing is public.
    assert assignment.validation.tolist() == sorted(np.concatenate(assignment.own_validation))
    assert assignment.test.tolist() == sorted(np.concatenate(assignment.own_test))
    assert len(assignment.public) == 0


def test_a_common_data_set_gives_the_global_and_the_public_samples(tmp_path: Path) -> None:
    common = folder(tmp_path / "c", "cat", "dog", splits=("train", "val", "test"), num=7)
    experiment = config(
        folder(tmp_path / "a", "cat", "dog"),
        folder(tmp_path / "b", "cat", "dog"),
        data={"source": "image_folder", "path": str(common)},
        sweep={"transfer_sets": ["public"]},
    )
    raw = read_data("test", experiment)
    assignment = divide(experiment, raw)
    owners = raw.columns[OWNER_COLUMN]
    for part in (assignment.validation, assignment.test, assignment.public):
        assert len(part) == 14
        assert (owners[part] == -1).all()


def test_arrays_of_a_peer_are_read_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        images = rng.integers(0, 256, (40, 6, 6), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(40) % 2)
    raw = read_data("test", config(tmp_path / "a.npz", tmp_path / "b.npz"))
    assert (raw.image_shape, raw.class_names, len(raw.labels_N)) == ((1, 6, 6), ("0", "1"), 80)


def test_a_partition_of_peers_data_is_published_once_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FilesystemStore(tmp_path / "store")
    first = folder(tmp_path / "a", "cat", "dog")
    (first / "notes.txt").write_text("")
    experiment = config(first, folder(tmp_path / "b", "dog", "owl"))
    made = partition(experiment, store, num_processes=0)
    said = capsys.readouterr().out
    assert "data of 2 peers: p0 has 60 samples that are not divided into splits, of 2 of the 3 classes" in said
    assert "skipped: files of other formats of p0: 1 (notes.txt)" in said
    assert partition(experiment, store, num_processes=0) == made
    dataset = open_dataset(store.fetch(made.metadata["inputs"]["dataset"]["key"]))
    assignment = Assignment.load(store.fetch(made.key))
    assert (dataset.columns[OWNER_COLUMN][assignment.train[1]] == 1).all()
    # Another file of a peer is noticed.
    folder(first, "owl")
    assert partition(experiment, store, num_processes=0).key != made.key


def test_weights_that_do_not_fit_because_of_a_misspelt_class_name_it(tmp_path: Path) -> None:
    network = build_network("mlp", image_shape_CHW=(3, 6, 6), num_classes=2, seed=0)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    study = config(folder(tmp_path / "a", "cat", "dog"), folder(tmp_path / "b", "Cat", "dog"))
    given = tuple(peer.model_copy(update={"weights": str(tmp_path / "w.pt")}) for peer in study.peers.given)
    study = study.model_copy(update={"peers": study.peers.model_copy(update={"given": given})})
    with pytest.raises(
        ValueError, match=r"^peers\.given\[0\]\.weights must fit .*; Cat \(p1\), cat \(p0\) are different cl"
    ):
        partition(study, FilesystemStore(tmp_path / "store"), num_processes=0)


def test_a_damaged_source_is_refused_with_the_name_of_its_field(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=r"^peers\.given\[1\]\.data: .* does not exist; check the path"):
        read_data("test", config(folder(tmp_path / "a", "cat", "dog"), tmp_path / "nowhere"))


def test_files_that_are_neither_images_nor_arrays_do_not_decide_what_a_data_set_is(tmp_path: Path) -> None:
    hidden = folder(tmp_path / "a", "cat", "dog")
    (hidden / "._images.npy").write_bytes(b"of another system")
    other = tmp_path / "b.NPZ"
    with other.open("wb") as file:
        np.savez(file, images=np.zeros((9, 6, 6, 3), np.uint8), labels=np.arange(9) % 3)
    assert read_data("test", config(hidden, other)).class_names == ("0", "1", "2", "cat", "dog")
    (tmp_path / "c.zip").write_bytes(b"PK")
    with pytest.raises(
        DataSourceError, match=r"^peers\.given\[1\]\.data: it must be a folder of images, an npz file o"
    ):
        read_data("test", config(hidden, tmp_path / "c.zip"))


def test_a_message_names_the_field_of_the_peer_and_no_other(tmp_path: Path) -> None:
    folder(tmp_path / "a" / "inner", "cat", "dog")
    with pytest.raises(DataSourceError) as caught:
        read_data("test", config(tmp_path / "a", tmp_path / "a"))
    assert str(caught.value).endswith(f"set peers.given[0].data={tmp_path / 'a' / 'inner'}.")
    assert "data.path" not in str(caught.value)


def test_images_of_peers_are_resized_beside_a_common_data_set_of_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "c.npz", images=images, labels=np.array(["cat", "dog"])[np.arange(60) % 2])
    one, other = (folder(tmp_path / name, "cat", "dog") for name in "ab")
    path = {"source": "npz", "path": str(tmp_path / "c.npz")}
    raw = read_data("test", config(one, other, data={**path, "image_size_pixels": 4}))
    assert raw.image_shape == (3, 4, 4)
    given = [{"name": name, "network": "mlp", "data": str(root)} for name, root in (("a", one), ("b", other))]
    text = f"data.source=npz data.path={path['path']} data.image_size_pixels=4"
    resolve(JOINTKD, config_json=yaml.safe_dump({"peers": {"given": given}}), overrides=text)


def test_peers_that_have_one_class_together_are_refused(tmp_path: Path) -> None:
    experiment = config(folder(tmp_path / "a", "cat"), folder(tmp_path / "b", "cat"))
    with pytest.raises(
        ValueError, match=r"^peers\.given must have training samples of at least 2 classes .* class cat\."
    ):
        divide(experiment, read_data("test", experiment))


def test_a_peer_with_too_few_samples_is_told_what_helps(tmp_path: Path) -> None:
    experiment = config(folder(tmp_path / "a", "cat", "dog"), folder(tmp_path / "b", "cat", "dog", num=5))
    with pytest.raises(
        ValueError, match=r"Possible fixes: lower partition\.min_samples_per_peer, add samples to peers\."
    ):
        divide(experiment, read_data("test", experiment))


def test_a_peer_without_a_validation_sample_is_refused(tmp_path: Path) -> None:
    experiment = config(
        folder(tmp_path / "a", "cat", "dog"), folder(tmp_path / "b", "cat", splits=("train", "test"), num=1)
    )
    with pytest.raises(
        ValueError, match=r"^peers\.given\[1\]\.data must have at least one validation sample, got none "
    ):
        divide(experiment, read_data("test", experiment))


@pytest.mark.parametrize(
    ("paths", "sections", "expected"),
    [
        (
            ("a", None),
            {},
            "peers.given must have data for every peer when data.source is peers, and peer 1 (p1) has none.",
        ),
        (
            ("a", None),
            {"data": {"source": "npz", "path": "x"}},
            "peers.given must have data for every peer or for none, and peer 1 (p1) has none.",
        ),
        (("a", "b"), {"data": {}}, "data.source must be peers, or the kind of a data set other than the peers', "),
        (("a", "b"), {"data": {"source": "peers", "path": "x"}}, "data.path must be null when source is peers, got x"),
        (
            ("a", "b"),
            {"data": {"source": "peers", "max_train_samples": 9}},
            "data.max_train_samples must be null when peers.given have data, got 9.",
        ),
        (
            ("a", "b"),
            {"sweep": {"transfer_sets": ["public"]}},
            "data.source must be a data set other than those of the peers when sweep.transfer_sets contains public, ",
        ),
    ],
)
def test_configs_of_peers_data_that_contradict_themselves_are_refused(
    paths: tuple[str | None, ...], sections: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError, match=r"^(peers|data)\.") as caught:
        config(*paths, **sections)
    assert str(caught.value).startswith(expected)


def test_a_source_of_peers_needs_given_peers() -> None:
    with pytest.raises(ValueError, match=r"data\.source is peers, and peers\.given is empty"):
        ExperimentConfig.from_mapping({"data": {"source": "peers"}})


def test_a_field_of_the_division_has_no_effect_on_peers_data() -> None:
    peers = "'peers.given=[{name: a, network: mlp, data: a}, {name: b, network: mlp, data: b}]' data.source=peers"
    resolve(JOINTKD, overrides=peers)
    with pytest.raises(
        ValueError, match=r"^partition\.public_fraction must not be set unless peers\.given have no data"
    ):
        resolve(JOINTKD, overrides=f"{peers} partition.public_fraction=0.1")
