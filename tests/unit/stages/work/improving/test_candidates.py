"""The candidates for each student: which trainings of a sweep or of a tuned study are done again."""

import pytest

from peerkd.config.pipelines import JOINTKD
from peerkd.config.resolve import resolve
from peerkd.results.choices import CHOICES
from peerkd.results.choices import assemble as assemble_choices
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


def choice(teacher, *, gain=None, predicted=None, epochs=3, temperature=4.0):
    row = {field.name: None for field in CHOICES.schema}
    chosen = {"transfer_set": "teacher", "temperature": temperature, "alpha": 0.5, "distillation_weight": 0.5}
    is_distilled = gain is not None or predicted is not None
    return {
        **row,
        **(chosen if is_distilled else {}),
        "student": 0,
        "teacher": teacher,
        "decision": "distil" if is_distilled else "leave",
        "num_trials": 1,
        "epochs": epochs if is_distilled else 0,
        "validation_gain": gain,
        "predicted_gain": predicted,
    }


def tuned(*rows, overrides=()):
    (task,) = tuned_tasks(config(*overrides), assemble_choices(rows, CHOICES), [0], [SETS])
    return task


def places(task):
    return [(trial.teacher, trial.transfer_set, trial.setting.temperature) for trial in task.candidates]


def test_a_tuned_study_trains_its_most_promising_choice_and_every_control():
    task = tuned(choice(1, predicted=0.02, gain=0.09), choice(2, predicted=0.05), choice(3))
    assert places(task) == [(2, "teacher", 4.0), (None, "student", None), (2, "teacher", None), (2, "both", None)]
    assert task.num_epochs == 3


@pytest.mark.parametrize(
    ("rows", "teacher"),
    [
        ([choice(1, gain=0.02), choice(2, gain=0.05)], 2),
        ([choice(1, gain=0.05), choice(2, gain=0.05)], 1),
    ],
    ids=["by observed gains where nothing is predicted", "the first of a tie"],
)
def test_the_most_promising_teacher(rows, teacher):
    assert places(tuned(*rows))[0][0] == teacher


def test_a_student_without_a_teacher_is_still_fine_tuned():
    assert places(tuned(choice(1), choice(2))) == [(None, "student", None)]
    overrides = ["sweep.transfer_sets=[both,public,public_unlabelled]", "partition.public_fraction=0.1"]
    assert places(tuned(choice(1), overrides=overrides)) == [(None, "public", None)]


def test_controls_have_every_learning_rate():
    task = tuned(choice(1), overrides=["sweep.learning_rates=[0.01,0.05]"])
    assert [trial.setting.learning_rate for trial in task.candidates] == [0.01, 0.02, 0.05]


def test_all_candidates_stop_after_the_chosen_epoch_if_the_study_chooses_epochs():
    overrides = ["tune.chooses_epochs=true"]
    assert tuned(choice(1, predicted=0.1, epochs=2), overrides=overrides).num_epochs == 2
    assert tuned(choice(1, predicted=0.1, epochs=0), overrides=overrides).num_epochs == 3
    assert tuned(choice(1, predicted=0.1, epochs=2)).num_epochs == 3
