"""Trials of a sweep that diverge, and peers whose weights do not fit."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from peerkd.errors import ArtifactCorruptError
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.table import check_record
from peerkd.training.peers import weights_name
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import state_path
from tests.plans import whole_plan
from tests.sweep_records import records_of, without_seconds


def stormy(tiny, folder, **changes):
    """Return the tiny experiment with a second learning rate at which every student diverges."""
    sweep = tiny.config.sweep.model_copy(update={"learning_rates": (0.02, 1e20), **changes})
    return replace(tiny.sweep_inputs, config=tiny.config.model_copy(update={"sweep": sweep}), states_folder=folder)


def test_a_trial_that_diverges_has_no_accuracies_no_state_and_no_effect_on_others(tiny, tmp_path):
    inputs = stormy(tiny, tmp_path / "stormy", validate_every_epoch=True)
    calm = replace(inputs, states_folder=tmp_path / "calm")
    unit = next(unit for unit in whole_plan(inputs.config) if unit.teacher == 1 and len(unit.owners) == 2)
    slow = replace(unit, trials=tuple(each for each in unit.trials if each.setting.learning_rate == 0.02))
    records = records_of(SweepRunner(inputs, device=torch.device("cpu")), unit)
    finite = [record for record in records if record["is_finite"]]
    assert [record["learning_rate"] for record in finite] == [0.02] * len(slow.trials)
    alone = records_of(SweepRunner(calm, device=torch.device("cpu")), slow)
    assert [without_seconds(record) for record in alone] == [without_seconds(record) for record in finite]
    for trial, record in zip(unit.trials, records, strict=True):
        assert record["is_finite"] == state_path(tmp_path / "stormy", trial, num_epochs=2).exists()
        check_record(record)
        if not record["is_finite"]:
            assert {value for name, value in record.items() if "_after" in name or "_flips" in name} == {None}
            assert record["test_correct_bits"] is None
            assert {record[name][-1] for name in BY_EPOCH_COLUMNS.values()} == {None}
            assert record["test_global_accuracy_before"] > 0


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda weights: weights | {"classifier.bias": torch.full((10,), torch.nan)},
            r"classifier\.bias of .*peer-001\.safetensors must be finite",
        ),
        (lambda weights: weights | {"classifier.bias": torch.zeros(1)}, r"shape \(10,\), got float32 of shape \(1,\)"),
        (
            lambda weights: {name: each for name, each in weights.items() if name != "classifier.bias"},
            r"lacks the tensor classifier\.bias\.",
        ),
    ],
    ids=["NaN", "a shape that would be broadcast", "a tensor that is missing"],
)
def test_weights_that_do_not_fit_a_peer_are_refused(tiny, tmp_path, spoil, sentence):
    for peer in range(3):
        weights = load_file(tiny.peers / weights_name(peer))
        save_file(spoil(weights) if peer == 1 else weights, tmp_path / weights_name(peer))
    unit = next(unit for unit in whole_plan(tiny.config) if unit.teacher == 1)
    with pytest.raises(ArtifactCorruptError, match=sentence):
        records_of(SweepRunner(replace(tiny.sweep_inputs, peers_folder=tmp_path), device=torch.device("cpu")), unit)
