"""The candidates for each student: which trainings of a sweep or of a tuned study are done again."""

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.results.choices import CHOICES
from peerkd.results.choices import assemble as assemble_choices
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.results.table import assemble
from peerkd.stages.work.improving.candidates import swept_tasks, tuned_tasks
from peerkd.study.splits import EvaluationSets, NumSamples
from tests.tables import answered, control, diverged, record, right


def config(*overrides):
    return resolve(JOINTKD, preset="digits", overrides=" ".join(overrides))


SETS = EvaluationSets(validation=NumSamples(400, 400), test=NumSamples(400, 400))


def after(row, value, *, scope="global"):
    return answered(row, right(200, of=400), right(round(400 * value), of=400), scope=scope)


def swept(*rows, overrides=()):
    (task,) = swept_tasks(config(*overrides), assemble(rows), [0], [SETS])
    return [(trial.teacher, trial.transfer_set, trial.setting.temperature) for trial in task.candidates]


def test_a_sweep_trains_the_advised_trial_again():
    rows = after(record(), 0.6), after(record(temperature=4.0), 0.7), after(control(), 0.65)
    assert swept(*rows) == [(1, "student", 4.0)]


def test_a_control_that_is_as_good_is_preferred():
    assert swept(after(record(), 0.6), after(control(), 0.6)) == [(None, "student", None)]


def test_nothing_is_trained_for_a_student_that_nothing_improves():
    assert swept(after(record(), 0.5), after(control(), 0.4)) == []


def test_a_trial_that_diverged_and_another_student_are_no_candidates():
    rows = (diverged(record(temperature=2.0)), after(record(student=1, teacher=0), 0.9), after(record(), 0.6))
    assert swept(*rows) == [(1, "student", 1.0)]


def test_a_sweep_chooses_by_its_own_metric():
    rows = (
        after(after(record(), 0.7), 0.4, scope="own"),
        after(after(record(temperature=4.0), 0.4), 0.7, scope="own"),
    )
    assert swept(*rows) == [(1, "student", 1.0)]
    assert swept(*rows, overrides=["sweep.selection_metric=own_accuracy"]) == [(1, "student", 4.0)]


def choice(row, *, is_whole=True):
    """Return the row of the table of choices of a pair whose chosen setting is that of a trial."""
    setting = {name: row[name] for name in ("transfer_set", "temperature", "alpha", "distillation_weight")}
    return {
        **{field.name: None for field in CHOICES.schema},
        **setting,
        "student": row["student"],
        "teacher": row["teacher"],
        "decision": "leave",
        "num_trials": 1,
        "epochs": 3,
        "corrected_gain": 0.0 if is_whole else None,
    }


def tuned(rows, choices, overrides=()):
    table = assemble_choices(choices, CHOICES)
    (task,) = tuned_tasks(config(*overrides), table, assemble(rows), [0], [SETS])
    return task


def places(task):
    return [(trial.teacher, trial.transfer_set, trial.setting.temperature) for trial in task.candidates]


def test_after_a_tuned_study_the_chosen_trials_compete_with_each_other_and_with_the_controls():
    weak, strong, control_ = after(record(), 0.6), after(record(teacher=2), 0.7), after(control(), 0.55)
    assert places(tuned([weak, strong, control_], [choice(weak), choice(strong)])) == [(2, "student", 1.0)]
    better = after(control(), 0.8)
    assert places(tuned([weak, strong, better], [choice(weak), choice(strong)])) == [(None, "student", None)]


def test_a_training_towards_the_old_self_competes_as_a_control_once_it_is_whole():
    targets = ["sweep.targets=[teacher,student]", "distill.epochs=3"]
    taught = after(record(target="teacher", epochs=3), 0.6)
    alone = [after(record(teacher=2, target="student", epochs=epochs), 0.7) for epochs in (3, 2)]
    for trial, expected in zip(alone, [(2, "student", 1.0), (1, "student", 1.0)], strict=True):
        assert places(tuned([taught, trial], [choice(taught) | {"target": "teacher"}], targets)) == [expected]
    assert swept(taught, alone[0], overrides=targets) == [(2, "student", 1.0)]


def test_a_tie_goes_to_the_default_loss():
    for losses in (("dkd", "kl"), ("kl", "dkd")):
        rows = [after(record(teacher=teacher, loss=loss), 0.7) for teacher, loss in zip((1, 2), losses, strict=True)]
        choices = [choice(row) | {"loss": row["loss"]} for row in rows]
        for task in (
            *swept_tasks(config("sweep.losses=[dkd]"), assemble(rows), [0], [SETS]),
            tuned(rows, choices, ["sweep.losses=[dkd]"]),
        ):
            assert [trial.setting.loss for trial in task.candidates] == ["kl"]


@pytest.mark.parametrize("is_chosen", [True, False], ids=["not whole", "not chosen"])
def test_a_trial_that_was_not_chosen_or_not_trained_to_its_end_is_no_candidate(is_chosen):
    trial = after(record(), 0.8)
    choices = [choice(trial, is_whole=False)] if is_chosen else []
    assert places(tuned([trial, after(control(), 0.5)], choices)) == []


def test_a_study_that_chooses_epochs_publishes_the_network_of_the_best_one():
    lists = {name: [0.5, 0.8, 0.6] if "validation" in name else [0.5] * 3 for name in BY_EPOCH_COLUMNS.values()}
    trial = {**after(record(epochs=3), 0.6), **lists}
    still = {**after(control(epochs=3), 0.5), **{name: [0.5] * 3 for name in lists}}
    task = tuned([trial, still], [choice(trial)], overrides=["tune.chooses_epochs=true"])
    assert (places(task), task.num_epochs) == ([(1, "student", 1.0)], 2)
    assert tuned([trial, still], [choice(trial)]).num_epochs == 3
