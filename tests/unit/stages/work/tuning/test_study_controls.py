"""The controls of a tuned study, with invented gains and without training."""

from dataclasses import replace

import numpy as np
import pytest

from peerkd.stages.work.tuning.iterations import Iteration, StudyProgress, shards_of
from peerkd.stages.work.tuning.space import trial_of
from peerkd.study.trials import Setting, Trial
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import NO_SETTING
from peerkd.tuning.validation import ValidationResult
from tests.unit.stages.work.tuning.invented import Scripted, finished, opened


def test_the_controls_follow_the_settings_and_need_labels(with_controls):
    assert [each.transfer_set for each in with_controls.controls] == ["both", "student"]
    assert {each.setting for each in with_controls.controls} == {Setting(None, 0.0, 0.0)}
    assert trial_of(with_controls, pair=3, setting=10) == Trial(0, 4, "both", Setting(None, 0.0, 0.0))
    assert trial_of(with_controls, pair=3, setting=11) == Trial(0, None, "student", Setting(None, 0.0, 0.0))


def test_a_study_begins_with_one_control_for_each_student(with_controls):
    study = opened(with_controls, Scripted(with_controls, []))
    first = study.plan(seconds=0.0)
    assert first.phase == "control"
    assert first.suggestions == tuple(Suggestion(4 * student, 11, 4) for student in range(5))


def test_controls_cost_what_they_train_and_no_teacher(with_controls):
    ledger = CostLedger(with_controls)
    ledger.charge(Suggestion(3, 10, 4))
    assert ledger.spent == 4 * (30 + 110)
    ledger.charge(Suggestion(0, 11, 4))
    assert ledger.spent == 4 * (30 + 110) + 4 * 30
    assert ledger.full == CostLedger(replace(with_controls, controls=())).full


def test_a_tuner_is_not_told_of_controls(with_controls):
    tuner = Scripted(with_controls, [[Suggestion(0, 4, 4)]])
    finished(opened(with_controls, tuner, budget=0.9))
    assert [observation.suggestion for observation in tuner.told] == [Suggestion(0, 4, 4)]


def finish_of(space, choice, *, gain, of_control):
    """Return the suggestions of the last iterations if pair 0 has chosen a setting with a gain."""
    tuner = Scripted(space, [[Suggestion(0, choice, 4)]])
    tuner.choices = lambda: np.array([choice] + [NO_SETTING] * (space.num_pairs - 1))
    study = opened(space, tuner, budget=0.9)
    while not study.iterations or study.iterations[-1].phase != "end":
        while study.num_observed < study.num_needed:
            found = study.iterations[study.num_observed].suggestions
            study.observe(
                [ValidationResult(of_control if each.setting >= 10 else gain, num_epochs=4) for each in found]
            )
        if planned := study.plan(seconds=0.0):
            study.accept(planned)
    return [each for planned in study.iterations if planned.phase == "finish" for each in planned.suggestions]


def test_a_choice_on_data_of_the_teacher_ends_with_its_control(with_controls):
    # Setting 4 is one on the data of both peers, setting 0 one on the student's own, whose control exists already.
    assert finish_of(with_controls, 4, gain=0.02, of_control=0.01) == [Suggestion(0, 10, 4)]
    assert finish_of(with_controls, 0, gain=0.02, of_control=0.01) == []


@pytest.mark.parametrize(("gain", "of_control"), [(0.01, 0.02), (-0.01, -0.02)], ids=["a control", "doing nothing"])
def test_a_choice_that_is_worse_than_a_simpler_one_needs_no_further_control(with_controls, gain, of_control):
    assert finish_of(with_controls, 4, gain=gain, of_control=of_control) == []


def test_shards_of_controls_have_no_teacher_and_the_samples_of_their_owners(with_controls):
    planned = Iteration(
        number=0,
        phase="finish",
        suggestions=(Suggestion(3, 10, 4), Suggestion(3, 11, 4), Suggestion(3, 4, 4)),
        seconds=0.0,
    )
    units = [
        each.unit
        for shard in shards_of(planned, with_controls, StudyProgress())
        for task in shard.tasks
        for each in task.ranges
    ]
    found = {
        (unit.owners, unit.teacher): [trial.setting.distillation_weight for trial in unit.trials] for unit in units
    }
    assert found == {((0, 4), None): [0.0], ((0,), None): [0.0], ((0, 4), 4): [0.5]}
