"""Training with a network of another package, which draws random numbers: a record depends on nothing else."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from peerkd.config.given_peers import GivenPeerConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.packed import write_packed
from peerkd.data.sources import read_source
from peerkd.data.streamed import open_dataset
from peerkd.results.features import read_features
from peerkd.seeds import derive_seed
from peerkd.stages.division import divide
from peerkd.study.plan import plan
from peerkd.training import pair_features
from peerkd.training.checkpoints import save_tensors
from peerkd.training.inputs import EngineChoice, EpochRange, PretrainInputs, SweepInputs
from peerkd.training.peers import build_peer, start, weights_name
from peerkd.training.sweep import SweepRunner

OWN = "tests.own_networks:tiny"
SETTINGS = (
    f'\'peers.given=[{{name: a, network: "{OWN}"}}, {{name: b, network: mlp}}, {{name: c, network: "{OWN}"}}]\' '
    "data.max_train_samples=300 pretrain.epochs=2 distill.epochs=2 sweep.temperatures=[1,4] sweep.alphas=[0.5] "
    "sweep.transfer_sets=[student] distill.conventions.teacher_mode=train"
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> SweepInputs:
    config = resolve(JOINTKD, preset="digits", overrides=SETTINGS)
    folder = tmp_path_factory.mktemp("own")
    raw = read_source("digits", path=None)
    write_packed(folder, raw)
    divide(config, raw).save(folder)
    pretrain(config, folder, folder)
    return SweepInputs(config=config, dataset_folder=folder, partition_folder=folder, peers_folder=folder, device="cpu")


def pretrain(config: Any, data: Path, weights: Path, *, peers: tuple[int, ...] = (0, 1, 2)) -> None:
    perform = start(
        PretrainInputs(
            config=config,
            dataset_folder=data,
            partition_folder=data,
            weights_folder=weights,
            checkpoints_folder=weights / "checkpoints",
            device="cpu",
        ),
        process_index=0,
    )
    (weights / "checkpoints").mkdir()
    for peer in peers:
        list(perform(peer))


def records(inputs: SweepInputs, *, backwards: bool) -> dict[tuple[Any, ...], Mapping[str, Any]]:
    runner = SweepRunner(inputs, device=CPU)
    units = list(plan(inputs.config.grid, inputs.peers))
    found = {}
    for unit in reversed(units) if backwards else units:
        trials = unit.trials[::-1] if backwards else unit.trials
        for record in runner.do(replace(unit, trials=trials)):
            if not isinstance(record, EngineChoice):
                identity = record["student"], record["teacher"], record["temperature"], record["alpha"]
                found[identity] = {name: value for name, value in record.items() if name != "seconds"}
    return found


def test_peers_are_pretrained_to_the_same_bits_in_any_order(inputs: SweepInputs, tmp_path: Path) -> None:
    torch.manual_seed(99)
    pretrain(inputs.config, inputs.dataset_folder, tmp_path, peers=(2, 1, 0))
    for peer in range(3):
        one, other = (load_file(folder / weights_name(peer)) for folder in (inputs.peers_folder, tmp_path))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert set(load_file(tmp_path / weights_name(0))) == {"0.weight", "0.bias", "5.weight", "5.bias"}


def test_a_trial_does_not_depend_on_the_trials_before_it(inputs: SweepInputs) -> None:
    torch.manual_seed(1)
    forwards = records(inputs, backwards=False)
    torch.manual_seed(2)
    assert records(inputs, backwards=True) == forwards
    assert len(forwards) == 3 * 2 * 2 + 3


def test_the_log_says_why_such_students_train_one_by_one(inputs: SweepInputs) -> None:
    unit = next(iter(plan(inputs.config.grid, inputs.peers)))
    choices = [each for each in SweepRunner(inputs, device=CPU).do(unit) if isinstance(each, EngineChoice)]
    text = f"{OWN}: one student at a time, because the network is from another package"
    assert [choice.text for choice in choices if choice.kind == OWN] == [text]


def test_a_student_that_knows_seven_classes_is_distilled_on_these_alone(inputs: SweepInputs, tmp_path: Path) -> None:
    config = inputs.config
    seven = GivenPeerConfig(
        name="seven", network="mlp", classes=("9", "8", "7", "6", "5", "4", "3"), mean=(0.5,), std=(0.25,)
    )
    given = (*config.peers.given[:2], seven)
    config = config.model_copy(update={"peers": config.peers.model_copy(update={"given": given})})
    dataset = open_dataset(inputs.dataset_folder)
    for peer in range(2):
        shutil.copyfile(inputs.peers_folder / weights_name(peer), tmp_path / weights_name(peer))
    state = build_peer(config.networks[2], dataset, seed=4).state_dict()
    assert state["classifier.weight"].shape == (7, 64)
    save_tensors(tmp_path / weights_name(2), state)
    runner = SweepRunner(replace(inputs, config=config, peers_folder=tmp_path), device=CPU)
    units = [unit for unit in plan(config.grid, range(3)) if 2 in {unit.teacher, *(t.student for t in unit.trials)}]
    found = [record for unit in units for record in runner.do(unit) if not isinstance(record, EngineChoice)]
    assert {record["student"] for record in found} == {0, 1, 2}
    assert all(record["is_finite"] for record in found)
    own = [record for record in found if record["student"] == 2]
    # Classes 0, 1 and 2 are never predicted, before and after.
    for record in own:
        assert record["test_class_accuracy_after"][:3] == record["test_class_accuracy_before"][:3] == [0, 0, 0]
    # And the student does learn the others.
    assert max(record["test_global_accuracy_after"] for record in own) > own[0]["test_global_accuracy_before"]


def test_features_of_a_peer_that_lacks_classes_are_moderate(inputs: SweepInputs, tmp_path: Path) -> None:
    config = inputs.config
    given = tuple(
        GivenPeerConfig(name=f"p{number}", network="mlp", classes=tuple(str(k) for k in range(number, number + 7)))
        for number in range(3)
    )
    config = config.model_copy(update={"peers": config.peers.model_copy(update={"given": given})})
    dataset = open_dataset(inputs.dataset_folder)
    for peer in range(3):
        save_tensors(tmp_path / weights_name(peer), build_peer(config.networks[peer], dataset, seed=peer).state_dict())
    list(pair_features.start(replace(inputs, config=config, peers_folder=tmp_path), process_index=0)(tmp_path / "f"))
    table = read_features(tmp_path / "f")
    assert max(table["divergence_on_student_data_1"].to_pylist()) < 50


def test_networks_with_frozen_parts_and_in_contiguous_memory_continue_after_an_epoch(
    inputs: SweepInputs, tmp_path: Path
) -> None:
    given = tuple(
        GivenPeerConfig(name=name.lower(), network=f"tests.own_networks:{name}") for name in ("PartlyFrozen", "Viewed")
    )
    peers, partition = (
        inputs.config.peers.model_copy(update={"given": given}),
        inputs.config.partition.model_copy(update={"num_peers": 2}),
    )
    config = inputs.config.model_copy(update={"peers": peers, "partition": partition})
    divide(config, read_source("digits", path=None)).save(tmp_path)
    data, weights = tmp_path, tmp_path / "weights"
    for file in inputs.dataset_folder.iterdir():
        if not (tmp_path / file.name).exists():
            (shutil.copytree if file.is_dir() else shutil.copyfile)(file, tmp_path / file.name)
    weights.mkdir()
    pretrain(config, data, weights, peers=(0, 1))
    changes = {"config": config, "dataset_folder": data, "partition_folder": data, "peers_folder": weights}
    ended = []
    for states, ends in ((tmp_path / "whole", (2,)), (tmp_path / "parts", (1, 2))):
        runner = SweepRunner(replace(inputs, **changes, states_folder=states), device=CPU)
        for unit in plan(config.grid, range(2)):
            start_epoch = 0
            for end in ends:
                records = list(runner.do(EpochRange(unit=unit, first_epoch=start_epoch, last_epoch=end)))
                start_epoch = end
            ended += [{**each, "seconds": 0} for each in records if not isinstance(each, EngineChoice)]
    half = len(ended) // 2
    assert ended[:half] == ended[half:]
    frozen = load_file(weights / weights_name(0))
    untrained = build_peer(config.networks[0], open_dataset(data), seed=derive_seed(config.seed, "weights", 0))
    assert torch.equal(frozen["convolution.weight"], untrained.convolution.weight)
    assert not torch.equal(frozen["linear.weight"], untrained.linear.weight)
