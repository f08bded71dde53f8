"""Trainings on a device that can do no more than an Apple GPU, of which there is none here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from peerkd.config.pcl import OnlineRecipeConfig
from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.data.packed import write_packed
from peerkd.device_kinds import DEVICE_KINDS
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.targets import PAIR_TARGETS
from peerkd.stages.division import divide
from peerkd.training.devices import placed
from peerkd.training.inputs import EngineChoice, PretrainInputs, SweepInputs
from peerkd.training.online.evaluate import make_evaluate
from peerkd.training.online.state import TrainingState
from peerkd.training.peers import start
from peerkd.training.sweep import SweepRunner
from peerkd.training.timing import random_images
from tests.plain_device import NoFloat64, plain
from tests.plans import whole_plan
from tests.trainings import CPU, Training, all_tensors

__all__ = ["plain"]

SETTINGS = (
    "partition.num_peers=2 pretrain.epochs=1 distill.epochs=1 sweep.temperatures=[2] sweep.alphas=[0.5] "
    "sweep.transfer_sets=[teacher] partition.label_skew.kind=iid augmentation.horizontal_flip=true "
    f"sweep.losses=[{','.join(PAIR_LOSSES)}] sweep.targets=[{','.join(PAIR_TARGETS)}]"
)


@pytest.mark.usefixtures("plain")
def test_peers_are_trained_and_distilled_without_float64(tmp_path: Path) -> None:
    config = resolve(JOINTKD, preset="digits", overrides=SETTINGS)
    raw = random_images(120, (1, 8, 8), num_classes=3)
    write_packed(tmp_path, raw)
    divide(config, raw).save(tmp_path)
    folders = {"dataset_folder": tmp_path, "partition_folder": tmp_path, "device": "cpu"}
    inputs = PretrainInputs(config=config, weights_folder=tmp_path, checkpoints_folder=tmp_path, **folders)
    sweep = SweepInputs(config=config, peers_folder=tmp_path, **folders)
    unit = next(unit for unit in whole_plan(config) if unit.teacher is not None)
    # Each loss and each target, and not all of their combinations.
    trials = [
        each
        for each in unit.trials
        if each.setting.target == "teacher" or (each.setting.loss, each.setting.temperature) == ("kl", 2)
    ]
    assert {each.setting.loss for each in trials} == set(PAIR_LOSSES)
    assert {each.setting.target for each in trials} == set(PAIR_TARGETS)
    with NoFloat64():
        train = start(inputs, process_index=0)
        peers = [list(train(peer))[-1] for peer in range(2)]
        runner = SweepRunner(sweep, device=CPU)
        made = list(runner.do(replace(unit, trials=trials)))
    assert all(peer["is_finite"] for peer in peers)
    (choice,) = (each for each in made if isinstance(each, EngineChoice))
    assert choice.text == "cpu: one student at a time, without captured steps, because only CUDA can capture them"
    records = [each for each in made if not isinstance(each, EngineChoice)]
    assert len(records) == len(trials)
    assert all(record["test_global_accuracy_after"] is not None for record in records)


def train_and_resume(training: Training, folder: Path) -> TrainingState:
    """Train and evaluate for an epoch, and continue from the checkpoint with another state."""
    evaluate = make_evaluate(training.dataset, {"test": np.arange(24)}, device=CPU)
    for num_epochs in (1, training.recipe.epochs):
        state, stepped = training.prepare()
        epochs = training.epochs(state, stepped, folder / "checkpoint", evaluate=evaluate)
        while next(epochs) < num_epochs:
            pass
        epochs.close()
    return state


def test_a_study_of_methods_is_trained_resumed_and_measured_without_float64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(recipe=OnlineRecipeConfig(epochs=2, batch_size=8, learning_rate=0.05))
    (tmp_path / "full").mkdir()
    (tmp_path / "plain").mkdir()
    expected = train_and_resume(training, tmp_path / "full")
    with pytest.raises(AssertionError, match="has float64"), NoFloat64():
        train_and_resume(training, tmp_path)
    monkeypatch.setitem(DEVICE_KINDS, "cpu", DEVICE_KINDS["mps"])
    with NoFloat64():
        state = train_and_resume(training, tmp_path / "plain")
    weights = all_tensors(expected)
    for name, tensor in all_tensors(state).items():
        assert tensor.is_contiguous()
        torch.testing.assert_close(tensor, weights[name], rtol=1e-3, atol=1e-5)
    assert state.history[-1]["test"] == expected.history[-1]["test"]
    assert state.history[-1]["train"] == pytest.approx(expected.history[-1]["train"], rel=1e-4)


@pytest.mark.usefixtures("plain")
def test_a_network_with_float64_is_refused_in_a_sentence() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(ValueError, match=r"^A network must have no float64 tensors on cpu, got 1\.weight: set "):
        placed(network, CPU)
