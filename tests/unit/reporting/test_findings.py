import dataclasses
import json
import re

import numpy as np
import pyarrow.compute as pc
import pytest

from peerkd.reporting.findings import TREATMENTS, compute_findings
from peerkd.reporting.html import render
from peerkd.reporting.tables import metrics, pairs_csv, terminal_summary
from peerkd.results.table import RECORD_COLUMNS, assemble
from tests.pages import markup
from tests.tables import Study, diverged, pairs


def test_every_gain_is_in_a_row_of_the_table(study, findings):
    by_identity = {
        (row["student"], row["teacher"], row["transfer_set"], row["temperature"], row["alpha"]): row
        for row in study.table.to_pylist()
    }
    settings = findings.settings
    for pair in pairs(10):
        chosen = by_identity[
            (*pair, str(settings.transfer_set[pair]), settings.temperature[pair], settings.alpha[pair])
        ]
        default = by_identity[(*pair, "student", 1.0, 0.5)]
        assert findings.gains["chosen"][pair] == chosen["test_global_gain"]
        assert findings.gains["default"][pair] == default["test_global_gain"]
        parts = findings.gain_from_data[pair] + findings.gain_from_teacher[pair]
        assert parts == pytest.approx(chosen["test_global_gain"])
        difference = chosen["test_global_accuracy_after"] - default["test_global_accuracy_after"]
        assert findings.comparison.paired.difference[pair] == pytest.approx(difference)


def test_means_are_means_over_pairs(findings):
    for treatment in TREATMENTS:
        estimate = findings.mean_gains[treatment, "global"]
        assert estimate.value == pytest.approx(np.nanmean(findings.gains[treatment]))
        assert estimate.num == findings.num_pairs == 90
    assert findings.comparison.tuned_over_default.value == pytest.approx(
        findings.comparison.chosen.value - findings.comparison.default.value
    )


def test_every_pair_is_counted_once_for_each_quantity(findings):
    for counts in (findings.counts.temperature, findings.counts.alpha, findings.counts.transfer_set):
        assert sum(counts.values()) == 90
    assert list(findings.counts.transfer_set) == ["student", "teacher", "both"]
    assert list(findings.counts.temperature) == [1.0, 2.0, 4.0, 8.0]


def test_only_test_numbers_depend_on_the_test_set(study, findings):
    """The test columns of the table are replaced by nonsense, and every choice remains the same."""
    table = study.table
    for name in table.column_names:
        if name.startswith("test_") and name.endswith(("_after", "_gain")) and "class" not in name:
            nonsense = pc.subtract(1.0, table[name])
            table = table.set_column(table.column_names.index(name), table.schema.field(name), nonsense)
    honest, blind = findings, compute_findings(table, study.facts)
    assert np.array_equal(honest.choice.chosen, blind.choice.chosen)
    assert np.array_equal(honest.choice.control, blind.choice.control)
    assert np.array_equal(honest.single.rows, blind.single.rows)
    assert honest.num_pairs_where_nothing_helps == blind.num_pairs_where_nothing_helps
    assert not np.array_equal(honest.gains["chosen"], blind.gains["chosen"], equal_nan=True)


def test_pairs_without_help_are_counted_for_both_reasons(findings):
    assert findings.num_pairs_where_nothing_helps >= max(findings.num_not_above_student, findings.num_not_above_control)
    assert findings.num_pairs_where_nothing_helps <= findings.num_not_above_student + findings.num_not_above_control


def test_the_own_distribution_can_choose_and_report():
    study = Study(num_peers=4, selection_metric="own_accuracy")
    findings = compute_findings(study.table, study.facts)
    assert findings.scope == "own"
    assert findings.mean_gains["chosen", "own"].value == pytest.approx(np.nanmean(findings.gains["chosen"]))
    assert np.isnan(findings.position.noise)  # flips are counted only on the global set


def test_a_sweep_without_labels_has_no_control():
    study = Study(num_peers=4, transfer_sets=("public_unlabelled",))
    findings = compute_findings(study.table, study.facts)
    assert findings.mean_gain_from_data.num == 0
    assert np.isnan(findings.gains["control"]).all()
    assert findings.num_not_above_control == 0


def test_alphas_are_counted_only_where_they_have_an_effect():
    study = Study(num_peers=4, transfer_sets=("student", "public_unlabelled"), alphas=(0.5, 0.9))
    counts = compute_findings(study.table, study.facts).counts
    assert set(counts.alpha) == {0.5, 0.9}
    assert counts.num_without_labels == counts.transfer_set["public_unlabelled"] > 0
    assert sum(counts.alpha.values()) == counts.transfer_set["student"]
    assert sum(counts.temperature.values()) == 12


def test_a_table_of_other_peers_is_refused(study):
    other = Study(num_peers=3, temperatures=(1.0,), alphas=(0.5,))
    with pytest.raises(ValueError, match="must have the 10 peers of the run, got 3"):
        compute_findings(other.table, study.facts)


def test_a_table_of_other_losses_or_targets_is_refused():
    small = {"num_peers": 3, "temperatures": (1.0,), "alphas": (0.5,), "transfer_sets": ("student",)}
    wide = Study(**small, losses=("kl", "dkd"), targets=("teacher", "mean"))
    with pytest.raises(ValueError, match=r"the losses of the run \(only those of the recipe, .*\), got dkd, kl too"):
        compute_findings(wide.table, Study(**small).facts)
    other = Study(**small, losses=("kl", "dkd"), targets=("teacher", "masks"))
    with pytest.raises(ValueError, match=r"the targets of the run \(teacher, mean\), got masks too"):
        compute_findings(other.table, wide.facts)


def test_a_sweep_in_which_everything_diverged_names_its_losses_and_targets():
    small = {"num_peers": 3, "temperatures": (1.0,), "alphas": (0.5,), "transfer_sets": ("student",)}
    study = Study(**small, losses=("kl", "dkd"), targets=("teacher", "student"))
    rows = [{name: row[name] for name in RECORD_COLUMNS} for row in study.table.to_pylist()]
    table = assemble([diverged(row) if row["target"] == "teacher" else row for row in rows])
    with pytest.raises(
        ValueError,
        match=r"all 12 diverged, with each of the losses kl, dkd, with each of the targets teacher, student\. Lower",
    ):
        compute_findings(table, study.facts)


def test_facts_that_contradict_the_config_are_refused(study):
    with pytest.raises(ValueError, match="peers must be 10 as in the config, got 9"):
        dataclasses.replace(study.facts, peers=study.facts.peers[1:])
    with pytest.raises(ValueError, match=r"train_counts_PK must have shape \(10, 10\)"):
        dataclasses.replace(study.facts, train_counts_PK=study.facts.train_counts_PK[:, 1:])
    with pytest.raises(ValueError, match=r"distances.hellinger must have shape \(10, 10\)"):
        dataclasses.replace(study.facts, distances={"hellinger": np.zeros((9, 9))})


def without(study, *is_lost, peers=()):
    """Return the findings of the study after some trials and peers are marked as diverged."""
    rows = [{name: row[name] for name in RECORD_COLUMNS} for row in study.table.to_pylist()]
    rows = [row for row in rows if row["student"] not in peers and row["teacher"] not in peers]
    table = assemble([diverged(row) if any(lost(row) for lost in is_lost) else row for row in rows])
    accuracies = ("validation_global_accuracy", "validation_own_accuracy", "test_global_accuracy", "test_own_accuracy")
    facts = dataclasses.replace(
        study.facts,
        peers=tuple(
            dataclasses.replace(each, is_finite=False, **dict.fromkeys(accuracies)) if peer in peers else each
            for peer, each in enumerate(study.facts.peers)
        ),
    )
    return compute_findings(table, facts), facts


def test_diverged_trials_are_counted_and_are_in_no_mean(study, findings):
    found, facts = without(
        study,
        lambda row: row["temperature"] == 1.0 and row["alpha"] == 0.5 and row["student"] == 2,
        lambda row: row["teacher"] is None and row["student"] == 3,
    )
    assert (found.divergence.num_distillations, found.divergence.num_controls) == (27, 1)
    assert found.num_pairs == 90
    assert found.num_pairs_without == {"chosen": 0, "single": 0, "default": 9, "control": 0}
    default = found.mean_gains["default", "global"]
    assert default.num == 81
    assert default.value == pytest.approx(np.nanmean(np.delete(findings.gains["default"], 2, axis=0)))
    assert found.single.temperature != 1.0 or found.single.alpha != 0.5
    text = terminal_summary(found, facts)
    assert "9 diverged" in next(line for line in text.splitlines() if "untuned default" in line)
    assert re.search(r"\b28 of [\d,]+\strials\sdiverged", text)
    assert metrics(found)["num_trials_diverged"] == 28
    page = render(found, facts)
    assert "28 diverged" in page
    assert "Among them is 1 control without a teacher." in page
    assert "These means lack pairs, all of whose trainings diverged: untuned default (9 pairs)." in page


def test_diverged_peers_are_shown_and_excluded_from_everything_else(study):
    found, facts = without(study, peers=(0, 9))
    assert found.num_pairs == 56
    assert found.divergence.num_pairs_left_out == 34
    assert np.isnan(found.gains["chosen"][0]).all()
    assert np.isnan(found.position.as_teacher[9])
    page = render(found, facts)
    assert (
        "In pre-training, 2 peers diverged (0, 9): 34 ordered pairs with a peer that diverged were not tried." in page
    )
    assert page.count(">diverged<") >= 4
    assert "nan" not in markup(page).lower().replace("nano", "")
    assert "56 ordered pairs of 8 peers" in terminal_summary(found, facts)
    assert len(pairs_csv(found).splitlines()) == 57


def test_a_study_with_diverged_trials_is_reported_whatever_is_left(study):
    one_pair = [lambda row: (row["student"], row["teacher"]) != (4, 5)]
    found, facts = without(study, *one_pair)
    assert found.num_pairs == 1
    assert "n/a" in terminal_summary(found, facts)
    assert "nan" not in markup(render(found, facts)).lower().replace("nano", "")
    json.dumps(metrics(found), allow_nan=False)


def test_a_sweep_in_which_everything_diverged_is_refused_with_advice(study):
    with pytest.raises(
        ValueError,
        match=r"^At least one distillation .* all 5,400 diverged\. Lower distill\.learning_rate, now 0\.02\.$",
    ):
        without(study, lambda row: row["distillation_weight"] > 0)
