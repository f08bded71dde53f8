"""The measurement of advice: on tables by hand, and on a store as a run leaves it."""

import json

import numpy as np
import pytest

from benchmarks.advice import main, report, score_sweep, score_tuned, untuned_default
from peerkd.results import choices
from peerkd.results.selection import candidates, choose
from peerkd.results.table import assemble, write_table
from peerkd.study.defaults import UntunedDefault
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, control, record, right

SETS = [EvaluationSets(validation=NumSamples(400, 100), test=NumSamples(400, 100))] * 2


def trial(row, num, *, test):
    return {**answered(row, right(200, of=400), right(num, of=400)), "test_global_accuracy_after": test}


SWEEP = assemble(
    [
        trial(control(), 220, test=0.55),
        trial(record(), 280, test=0.68),
        trial(control(student=1), 210, test=0.6),
        trial(record(student=1, teacher=0), 280, test=0.5),
    ]
)


def choice(student, *, low, decision="distil"):
    return {
        **{field.name: None for field in choices.CHOICES.schema},
        "student": student,
        "teacher": 1 - student,
        "decision": decision,
        "num_trials": 1,
        "epochs": 1,
        "transfer_set": "student",
        "temperature": 1.0,
        "alpha": 0.5,
        "distillation_weight": 0.5,
        "corrected_gain": low + 0.1,
        "corrected_gain_low": low,
        "corrected_gain_high": low + 0.2,
    }


def test_a_sweep_is_scored_by_what_came_on_test():
    scored = score_sweep("distill_pairs/a", SWEEP, SETS)
    assert scored.num_pairs == 2
    assert scored.over_control_PP[0, 1] == pytest.approx(0.13)
    assert scored.over_control_PP[1, 0] == pytest.approx(-0.1)
    # Student 0 gains 18 points on test and 20 on validation, student 1 none: an interval reaches some 5 points far.
    assert scored.is_covered_PP[[0, 1], [1, 0]].tolist() == [1.0, 0.0]
    assert scored.is_advantage_covered_PP[[0, 1], [1, 0]].tolist() == [1.0, 0.0]


def test_a_tuned_study_is_scored_by_the_tests_of_the_sweep():
    rows = [choice(0, low=0.1), choice(1, low=0.1, decision="leave")]
    scored = score_tuned("tune_pairs/a", rows, SWEEP)
    assert scored.over_control_PP[0, 1] == pytest.approx(0.13)
    assert np.isnan(scored.over_control_PP[1, 0])
    assert scored.is_covered_PP[[0, 1], [1, 0]].tolist() == [1.0, 0.0]


def test_a_choice_that_the_sweep_has_not_tried_is_refused():
    with pytest.raises(ValueError, match=r"got none for the choice of pair \(0, 1\)\.$"):
        score_tuned("tune_pairs/a", [{**choice(0, low=0.1), "temperature": 3.0}], SWEEP)


def test_the_report_has_a_line_for_each_study_and_one_for_all_of_a_kind():
    one = score_sweep("distill_pairs/a", SWEEP, SETS)
    lines = report([one, score_sweep("distill_pairs/b", SWEEP, SETS)]).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "distill_pairs/a",
        "distill_pairs/b",
        "distill_pairs, all 2",
    ]
    assert "| 4 | 50 % of 4 | 50 % of 4 | 4 | 2 (50 %) | +1.50 (" in lines[-1]
    assert "none" in report([score_tuned("tune_pairs/a", [choice(0, low=0.1, decision="leave")] * 2, SWEEP)])


def test_the_studies_of_a_store_are_found_by_their_manifests(tmp_path, capsys):
    def publish(key, metadata):
        folder = tmp_path / key
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"key": key, "metadata": metadata}))
        return folder

    sizes = {"num_validation": 400, "num_test": 400, "num_own_validation": [100] * 2, "num_own_test": [100] * 2}
    publish("partition_data/a", sizes)
    publish("pretrain_peers/a", {"inputs": {"partition": {"key": "partition_data/a"}}})
    peers = {"inputs": {"peers": {"key": "pretrain_peers/a", "fingerprint": "ab"}}}
    write_table(SWEEP, publish("distill_pairs/a", peers) / "trials.parquet")
    tuned = publish("tune_pairs/a", peers)
    write_table(SWEEP, tuned / "trials.parquet")
    rows = choices.assemble([choice(0, low=0.1), choice(1, low=0.1)], choices.CHOICES)
    choices.write_table(rows, tuned / "choices.parquet", choices.CHOICES)
    assert main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "| distill_pairs/a, seed 0 | 2 | 50 % of 2 |" in printed
    assert "| tune_pairs/a, seed 0 | 2 | 50 % of 2 | none | 2 | 1 (50 %) |" in printed


def test_a_store_without_a_sweep_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "must have a sweep" in capsys.readouterr().err


def test_a_tie_between_losses_goes_to_the_default_of_the_sweep():
    tied = [record(loss="dkd"), record(loss="kl")]
    other = trial(record(student=1, teacher=0, loss="kl"), 200, test=0.5)
    trials = assemble([trial(control(), 220, test=0.55), *(trial(row, 280, test=0.68) for row in tied), other])
    manifest = {"metadata": {"loss": {"kind": "kl"}, "target": {"kind": "teacher"}}}
    default = untuned_default(manifest, trials)
    assert default == UntunedDefault(None, loss="kl")
    found = candidates(trials, metric="global_accuracy", default=default)
    assert choose(found, default_transfer_set="student").chosen[0, 1] == 2
    assert untuned_default({"metadata": {}}, SWEEP) == UntunedDefault(None)
