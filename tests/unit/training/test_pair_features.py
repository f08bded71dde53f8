"""Features of real networks: their logits are used, and no test sample is read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from peerkd.config.given_peers import PeerNetwork
from peerkd.data.dataset import RawDataset
from peerkd.data.packed import write_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.data.streamed import open_dataset
from peerkd.results.answers import Answers
from peerkd.results.features import FEATURE_NAMES, pair_features, read_features
from peerkd.training import pair_features as module
from peerkd.training.inputs import SweepInputs
from peerkd.training.pair_features import blocks, start, training_parts, validation_parts
from peerkd.training.peers import build_peer, weights_name
from peerkd.training.process_pool import run_in_processes


def written(inputs: SweepInputs, path: Path) -> tuple[pa.Table, int]:
    (num_samples,) = start(inputs, process_index=0)(path)
    return read_features(path), num_samples


@pytest.fixture(scope="module")
def features(tiny, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    table, _ = written(tiny.sweep_inputs, tmp_path_factory.mktemp("features") / "features.parquet")
    return table


def assert_close(one: pa.Table, other: pa.Table) -> None:
    for name in FEATURE_NAMES:
        np.testing.assert_allclose(one[name].to_numpy(), other[name].to_numpy(), atol=1e-5, err_msg=name)


def plain_answers(tiny, indices: np.ndarray) -> Answers:
    dataset = open_dataset(tiny.dataset)
    pixels = dataset.read_images(indices).astype(np.float32) / 255
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (dataset.channel_mean, dataset.channel_std))
    logits = []
    for peer, architecture in enumerate(tiny.config.architectures):
        network = build_peer(PeerNetwork(architecture), dataset, seed=1)
        network.load_state_dict(load_file(tiny.peers / weights_name(peer)))
        with torch.no_grad():
            logits.append(network.eval()(torch.from_numpy((pixels - mean) / std)).numpy())
    return Answers(np.stack(logits), dataset.labels_N[indices])


def looked_at(indices: np.ndarray) -> np.ndarray:
    num = min(len(indices), 256)
    return np.array([indices[len(indices) * place // num] for place in range(num)])


def test_the_table_follows_from_the_logits_of_the_networks(tiny, features: pa.Table) -> None:
    labels, assignment = open_dataset(tiny.dataset).labels_N, Assignment.load(tiny.partition)
    expected = pair_features(
        [plain_answers(tiny, assignment.validation)],
        [plain_answers(tiny, looked_at(indices)) for indices in assignment.train],
        label_counts_PK=np.stack([np.bincount(labels[indices], minlength=10) for indices in assignment.train]),
    )
    assert_close(features, expected)
    before = {row["student"]: row["student_accuracy"] for row in features.to_pylist()}
    assert len(before) == 3
    assert max(before.values()) > 0.2


def test_blocks_of_any_size_give_the_same_table(
    tiny, features: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", 1)
    table, _ = written(tiny.sweep_inputs, tmp_path / "features.parquet")
    assert_close(table, features)


def test_test_samples_change_no_feature(tiny, features: pa.Table, tmp_path: Path) -> None:
    raw, assignment = tiny.raw, Assignment.load(tiny.partition)
    tested = np.concatenate([assignment.test, *assignment.own_test])
    tested = np.setdiff1d(tested, np.concatenate([assignment.validation, *assignment.train]))
    labels, images = raw.labels_N.copy(), raw.images_NCHW.copy()
    labels[tested] = np.random.default_rng(0).permutation(labels[tested])
    images[tested] = images[tested[::-1]]
    assert not np.array_equal(labels, raw.labels_N)
    assert np.isin(assignment.test, tested).all()
    changed = tmp_path / "dataset"
    changed.mkdir()
    write_packed(changed, RawDataset(**{**vars_of(raw), "labels_N": labels, "images_NCHW": images}))
    # The statistics of the pixels belong to the data set, and the networks were trained with them.
    for name in ("channel_mean", "channel_std"):
        assert getattr(open_dataset(changed), name) == pytest.approx(getattr(open_dataset(tiny.dataset), name))
    table, _ = written(replace(tiny.sweep_inputs, dataset_folder=changed), tmp_path / "features.parquet")
    assert_close(table, features)


def vars_of(raw: RawDataset) -> dict[str, object]:
    return {name: getattr(raw, name) for name in RawDataset.__dataclass_fields__}


def test_no_test_sample_is_read(tiny) -> None:
    assignment = Assignment.load(tiny.partition)
    parts = [*validation_parts(assignment), *training_parts(assignment, range(3))]
    assert np.intersect1d(np.concatenate(parts), np.concatenate([assignment.test, *assignment.own_test])).size == 0


def test_a_process_writes_the_table_and_returns_its_number_of_passes(tiny, features: pa.Table, tmp_path: Path) -> None:
    path, assignment = tmp_path / "features.parquet", Assignment.load(tiny.partition)
    tasks = [("features", path)]
    ((tag, num_samples),) = run_in_processes(f"{module.__name__}:start", (tiny.sweep_inputs,), tasks, num_processes=1)
    assert tag == "features"
    looked_at_of = [min(len(indices), 256) for indices in assignment.train]
    assert num_samples == 3 * (len(assignment.validation) + sum(looked_at_of))
    assert_close(read_features(path), features)


def test_an_evenly_spaced_part_of_a_large_training_set_is_used() -> None:
    sizes = (1000, 256, 257, 3)
    none = np.arange(0)
    assignment = Assignment(
        train=tuple(7 * np.arange(size) for size in sizes),
        own_validation=(none,) * 4,
        own_test=(none,) * 4,
        validation=np.arange(600),
        test=none,
        public=none,
    )
    first, *others = training_parts(assignment, range(assignment.num_peers))
    assert [len(part) for part in (first, *others)] == [256, 256, 256, 3]
    steps = np.diff(first) // 7
    assert set(steps) == {3, 4}
    assert first[0] == 0
    assert first[-1] >= 7 * 995
    assert np.array_equal(np.concatenate(validation_parts(assignment)), assignment.validation)
    assert [len(part) for part in validation_parts(assignment)] == [200, 200, 200]


def test_blocks_are_as_large_as_allowed_and_have_at_least_one_part() -> None:
    parts = [np.arange(size) for size in (3, 4, 2, 20, 1)]
    assert [[len(part) for part in block] for block in blocks(parts, max_samples=9)] == [[3, 4, 2], [20], [1]]
    assert [len(block) for block in blocks(parts, max_samples=1)] == [1] * 5


def test_a_peer_that_diverged_is_omitted(tiny, tmp_path: Path) -> None:
    # The peer has no weights.
    for peer in (0, 2):
        save_file(load_file(tiny.peers / weights_name(peer)), tmp_path / weights_name(peer))
    inputs = replace(tiny.sweep_inputs, peers_folder=tmp_path, finite_peers=(0, 2))
    table, _ = written(inputs, tmp_path / "features.parquet")
    whole, _ = written(tiny.sweep_inputs, tmp_path / "all.parquet")
    pairs = list(zip(table["student"].to_pylist(), table["teacher"].to_pylist(), strict=True))
    assert pairs == [(0, 2), (2, 0)]
    same = [row for row in whole.to_pylist() if (row["student"], row["teacher"]) in pairs]
    for row, wanted in zip(table.to_pylist(), same, strict=True):
        assert row == pytest.approx(wanted, rel=1e-6)
