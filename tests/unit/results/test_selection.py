import dataclasses

import numpy as np
import pytest

from peerkd.results.pair_rows import NO_ROW
from peerkd.results.selection import Candidates, candidates, choose, choose_single
from peerkd.results.table import RECORD_COLUMNS, assemble
from peerkd.study.defaults import UntunedDefault
from peerkd.study.pairs import Pairs
from tests.tables import Study, control, diverged, pairs, record


def two_peers(*trials, **of_both):
    """Return a table in which student 0 has the given trials and student 1 only the default."""
    mirrored = record(student=1, teacher=0, **of_both)
    return assemble([*trials, mirrored])


def row_of(table, choice_rows, pair=(0, 1)):
    return table.slice(int(choice_rows[pair]), 1).to_pylist()[0]


def trial(temperature, alpha, validation, *, test=0.5, **changes):
    return record(
        temperature=temperature,
        alpha=alpha,
        distillation_weight=alpha,
        validation_global_accuracy_after=validation,
        test_global_accuracy_after=test,
        **changes,
    )


def test_candidates_contain_no_test_values():
    table = two_peers(trial(1.0, 0.5, 0.6))
    without_test = table.drop_columns([name for name in table.column_names if name.startswith("test_")])
    candidates(without_test, metric="global_accuracy")  # such a column is not needed
    assert not [field.name for field in dataclasses.fields(Candidates) if "test" in field.name]


def test_choices_follow_validation_even_if_the_test_set_contradicts_it():
    table = two_peers(
        trial(1.0, 0.5, 0.60, test=0.5),
        trial(4.0, 0.9, 0.70, test=0.1),
        trial(2.0, 0.9, 0.65, test=0.9),
    )
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert row_of(table, choice.chosen)["temperature"] == 4.0
    assert row_of(table, choice.default)["alpha"] == 0.5
    assert choice.chosen[0, 0] == choice.default[1, 1] == NO_ROW


def test_the_metric_determines_the_accuracy_of_choices():
    table = two_peers(
        trial(1.0, 0.5, 0.6, validation_own_accuracy_after=0.6), trial(4.0, 0.5, 0.7, validation_own_accuracy_after=0.5)
    )
    by_own = choose(candidates(table, metric="own_accuracy"), default_transfer_set="student")
    assert row_of(table, by_own.chosen)["temperature"] == 1.0


def test_a_tie_goes_to_the_setting_with_the_fewest_changes():
    table = two_peers(
        trial(1.0, 0.5, 0.6),
        trial(2.0, 0.1, 0.7),
        trial(2.0, 0.5, 0.7, transfer_set="both"),
        trial(8.0, 0.5, 0.7),
    )
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert row_of(table, choice.chosen)["temperature"] == 8.0


def test_a_tie_with_the_default_is_not_evidence_against_it():
    table = two_peers(trial(1.0, 0.5, 0.7), trial(4.0, 0.1, 0.7), trial(0.5, 0.1, 0.7))
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert choice.chosen[0, 1] == choice.default[0, 1]


def test_a_control_is_used_for_comparison_and_never_chosen():
    table = two_peers(
        trial(1.0, 0.5, 0.6),
        control(validation_global_accuracy_after=0.8),
        control(transfer_set="both", teacher=1, validation_global_accuracy_after=0.9),
        control(transfer_set="both", teacher=2, validation_global_accuracy_after=1.0),
    )
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert row_of(table, choice.chosen)["distillation_weight"] == 0.5
    best_control = row_of(table, choice.control)
    assert (best_control["transfer_set"], best_control["teacher"]) == ("both", 1)
    assert choice.above_student[0, 1]
    assert not choice.above_control[0, 1]
    assert choice.control[1, 0] == NO_ROW
    assert not choice.above_student[1, 0]  # the same accuracy as before is not a gain
    assert choice.above_control[1, 0]


def test_a_choice_can_be_made_within_one_transfer_set():
    table = two_peers(trial(1.0, 0.5, 0.9), trial(1.0, 0.5, 0.6, transfer_set="both"), transfer_set="both")
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="both", transfer_sets=("both",))
    assert row_of(table, choice.chosen)["transfer_set"] == "both"


def test_without_labels_the_default_is_the_divergence_alone():
    unlabelled = {"transfer_set": "public_unlabelled", "alpha": 1.0, "distillation_weight": 1.0}
    table = assemble([record(**unlabelled), record(student=1, teacher=0, **unlabelled)])
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="public_unlabelled")
    assert choice.default.tolist() == [[NO_ROW, 0], [1, NO_ROW]]
    assert (choice.control == NO_ROW).all()


def test_a_pair_without_the_default_is_refused():
    table = two_peers(trial(2.0, 0.5, 0.9))
    with pytest.raises(ValueError, match="default on student, got none for student 0 and teacher 1"):
        choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")


def test_the_single_setting_has_the_best_mean_over_pairs():
    def both_ways(temperature, first, second):
        return [
            trial(temperature, 0.5, first),
            trial(temperature, 0.5, second, student=1, teacher=0),
        ]

    table = assemble([*both_ways(1.0, 0.6, 0.6), *both_ways(2.0, 0.9, 0.2), *both_ways(4.0, 0.7, 0.7)])
    trials = candidates(table, metric="global_accuracy")
    single = choose_single(trials, default_transfer_set="student")
    assert (single.transfer_set, single.temperature, single.alpha) == ("student", 4.0, 0.5)
    assert [table["temperature"][int(single.rows[pair])].as_py() for pair in pairs(2)] == [4.0, 4.0]


def test_no_alternative_to_a_choice_is_better_on_validation():
    study = Study(num_peers=4)
    trials = candidates(study.table, metric="global_accuracy")
    choice = choose(trials, default_transfer_set="student")
    single = choose_single(trials, default_transfer_set="student")
    for pair in pairs(4):
        row = choice.chosen[pair]
        assert (trials.student[row], trials.teacher[row]) == pair
        assert trials.distillation_weight[row] > 0
        assert trials.accuracy_after[row] >= trials.accuracy_after[choice.default[pair]]
        assert trials.accuracy_after[row] >= trials.accuracy_after[single.rows[pair]]
    assert np.array_equal(np.diag(choice.chosen), [NO_ROW] * 4)


@pytest.mark.parametrize("transfer_sets", [None, ("both",), ("public", "public_unlabelled")])
def test_the_choice_equals_that_of_a_search_through_all_rows(transfer_sets):
    study = Study(
        num_peers=4,
        transfer_sets=("student", "both", "public", "public_unlabelled"),
        num_validation_samples=20,
        temperatures=(1.0, 4.0),
        alphas=(0.5, 0.9),
    )
    table = study.table.take(np.random.default_rng(0).permutation(study.table.num_rows))
    trials = candidates(table, metric="global_accuracy")
    default_set = transfer_sets[0] if transfer_sets else "student"
    choice = choose(trials, default_transfer_set=default_set, transfer_sets=transfer_sets)
    rows = [row | {"row": number} for number, row in enumerate(table.to_pylist())]
    for student, teacher in pairs(4):
        of_pair = [
            row
            for row in rows
            if row["student"] == student
            and row["teacher"] in (teacher, None)
            and row["transfer_set"] in (transfer_sets or study.config.sweep.transfer_sets)
        ]

        def best(candidates):
            def num_changes(row):
                weight = 1.0 if row["transfer_set"] == "public_unlabelled" else 0.5
                is_default = (row["temperature"] == 1.0, row["distillation_weight"] == weight)
                return 3 - sum(is_default) - (row["transfer_set"] == default_set)

            most = max(row["validation_global_accuracy_after"] for row in candidates)
            tied = [row for row in candidates if row["validation_global_accuracy_after"] > most - 1e-9]
            return min(tied, key=num_changes)["row"]

        distilled = [row for row in of_pair if row["distillation_weight"] > 0]
        controls = [row for row in of_pair if row["distillation_weight"] == 0]
        assert choice.chosen[student, teacher] == best(distilled)
        assert choice.control[student, teacher] == best(controls)
        default = table.slice(int(choice.default[student, teacher]), 1).to_pylist()[0]
        assert (default["student"], default["teacher"]) == (student, teacher)
        assert (default["transfer_set"], default["temperature"]) == (default_set, 1.0)


def test_a_rate_other_than_the_recipes_counts_as_a_change():
    table = two_peers(
        trial(1.0, 0.5, 0.7, learning_rate=0.1),
        trial(1.0, 0.5, 0.6, learning_rate=0.02),
        trial(4.0, 0.5, 0.7, learning_rate=0.02),
        trial(4.0, 0.5, 0.7, learning_rate=0.1),
        control(learning_rate=0.02, validation_global_accuracy_after=0.6),
        control(learning_rate=0.1, validation_global_accuracy_after=0.65),
        learning_rate=0.02,
    )
    trials = candidates(table, metric="global_accuracy", default=UntunedDefault(None, learning_rate=0.02))
    choice = choose(trials, default_transfer_set="student")
    assert row_of(table, choice.default)["learning_rate"] == 0.02
    # Both have one change, so the first in the order of the table wins.
    chosen = row_of(table, choice.chosen)
    assert (chosen["temperature"], chosen["learning_rate"]) == (1.0, 0.1)
    assert row_of(table, choice.control)["learning_rate"] == 0.1
    single = choose_single(trials, default_transfer_set="student")
    assert (single.temperature, single.learning_rate) == (1.0, 0.02)


def test_a_setting_at_another_rate_is_not_the_default():
    table = two_peers(trial(1.0, 0.5, 0.7, learning_rate=0.1), learning_rate=0.1)
    trials = candidates(table, metric="global_accuracy", default=UntunedDefault(None, learning_rate=0.02))
    with pytest.raises(ValueError, match="must have a trial of the default on student"):
        choose(trials, default_transfer_set="student")


def with_diverged(table, *is_lost):
    """Return the table after the trials for which a predicate is true are marked as diverged."""
    kept = [{name: row[name] for name in RECORD_COLUMNS} for row in table.to_pylist()]
    return assemble([diverged(row) if any(lost(row) for lost in is_lost) else row for row in kept])


def both(*trials):
    """Return a table in which each of two peers has the given trials with the other as its teacher."""
    return assemble([*trials, *({**each, "student": 1, "teacher": 0} for each in trials)])


def test_a_diverged_trial_is_never_chosen():
    table = both(trial(1.0, 0.5, 0.6), trial(4.0, 0.9, 0.7), trial(2.0, 0.9, 0.65))
    table = with_diverged(table, lambda row: row["temperature"] == 4.0 and row["student"] == 0)
    choice = choose(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert [row_of(table, choice.chosen, pair)["temperature"] for pair in ((0, 1), (1, 0))] == [2.0, 4.0]
    single = choose_single(candidates(table, metric="global_accuracy"), default_transfer_set="student")
    assert single.temperature == 2.0


def test_a_default_or_a_pair_that_only_diverged_has_no_row():
    table = both(trial(1.0, 0.5, 0.6), trial(4.0, 0.9, 0.7))
    without_default = with_diverged(table, lambda row: row["temperature"] == 1.0)
    choice = choose(candidates(without_default, metric="global_accuracy"), default_transfer_set="student")
    assert (choice.default == NO_ROW).all()
    assert (choice.chosen != NO_ROW).sum() == 2
    without_pair = with_diverged(table, lambda row: row["student"] == 0)
    trials = candidates(without_pair, metric="global_accuracy")
    choice = choose(trials, default_transfer_set="student")
    assert choice.chosen[0, 1] == NO_ROW != choice.chosen[1, 0]
    assert not choice.above_student[0, 1]
    # One setting is the best for the remaining pairs.
    single = choose_single(trials, default_transfer_set="student")
    assert single.temperature == 4.0
    assert single.rows[0, 1] == NO_ROW


def test_no_single_setting_exists_if_each_diverged_for_some_pair():
    table = both(trial(1.0, 0.5, 0.6), trial(4.0, 0.9, 0.7))
    table = with_diverged(
        table,
        lambda row: row["temperature"] == 1.0 and row["student"] == 0,
        lambda row: row["temperature"] == 4.0 and row["student"] == 1,
    )
    assert choose_single(candidates(table, metric="global_accuracy"), default_transfer_set="student") is None


def test_a_training_towards_the_old_self_is_a_control_and_no_distillation():
    table = both(trial(1.0, 0.5, 0.6), trial(4.0, 0.9, 0.7), {**trial(4.0, 0.9, 0.8), "target": "student"})
    trials = candidates(table, metric="global_accuracy")
    choice = choose(trials, default_transfer_set="student")
    assert [row_of(table, choice.chosen, pair)["target"] for pair in ((0, 1), (1, 0))] == [None, None]
    assert [row_of(table, choice.control, pair)["target"] for pair in ((0, 1), (1, 0))] == ["student", "student"]
    assert not choice.above_control.any()
    assert choose_single(trials, default_transfer_set="student").target is None


def test_a_diverged_control_is_not_used_for_comparison():
    good, bad = (
        control(transfer_set=name, validation_global_accuracy_after=value)
        for name, value in (("student", 0.9), ("public", 0.4))
    )
    table = two_peers(trial(1.0, 0.5, 0.6), good, bad)
    for lost, beats, num_left in (((), False, 1), (("student",), True, 1), (("student", "public"), True, 0)):
        left = with_diverged(table, lambda row, lost=lost: row["teacher"] is None and row["transfer_set"] in lost)
        choice = choose(candidates(left, metric="global_accuracy"), default_transfer_set="student")
        assert choice.above_control[0, 1] == beats
        assert (choice.control[0, 1] != NO_ROW) == num_left


def test_a_diverged_peer_has_no_pairs_and_does_not_affect_others():
    number = {0: 0, 1: 2}
    rows = [{name: row[name] for name in RECORD_COLUMNS} for row in both(trial(1.0, 0.5, 0.6)).to_pylist()]
    table = assemble([row | {name: number[row[name]] for name in ("student", "teacher")} for row in rows])
    is_pair_PP = Pairs((0, 2)).as_matrix(4)
    trials = candidates(table, metric="global_accuracy", is_pair_PP=is_pair_PP)
    choice = choose(trials, default_transfer_set="student")
    assert np.argwhere(choice.chosen != NO_ROW).tolist() == [[0, 2], [2, 0]]
    assert choice.chosen.shape == (4, 4)
    single = choose_single(trials, default_transfer_set="student")
    assert np.array_equal(single.rows, choice.chosen)
