"""The decisions of a study with invented gains and without training."""

import numpy as np
import pytest

from peerkd.stages.work.tuning.iterations import Iteration
from peerkd.stages.work.tuning.space import build_space
from peerkd.stages.work.tuning.study import (
    FINISH_FRACTION,
    MAX_ITERATIONS,
    NUM_ITERATIONS,
    TunedStudy,
    suggestions_per_iteration,
)
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import Suggestion
from peerkd.tuning.space import NO_SETTING
from peerkd.tuning.validation import ValidationResult, diverged
from tests.tuners import HalvingTuner
from tests.unit.stages.work.tuning.invented import CONFIG, SIZES, Scripted, finished, gain, opened, step


def test_a_set_whose_divergence_has_samples_of_its_own_costs_what_is_trained_and_what_is_taught():
    sweep = CONFIG.sweep.model_copy(update={"transfer_sets": ("student", "student_and_public")})
    config = CONFIG.model_copy(update={"sweep": sweep})
    space = build_space(config, num_train=SIZES, num_public=40, features=None)
    # Student 0 has 30 samples, one batch; the public set has 40, two batches. So an epoch has two batches of 30 own
    # samples and two of 20 public ones, and the teacher sees the 40 public samples.
    trained, taught = space.num_samples_QS[0], space.num_taught_samples_QS[0]
    assert trained.tolist() == [30] * 4 + [100] * 4
    assert taught.tolist() == [30] * 4 + [40] * 4
    ledger = CostLedger(space)
    first = Suggestion(0, 4, 4)
    assert ledger.price(first) == pytest.approx(4 * 100 + 40 / 3)
    assert ledger.prices([0], np.array([4]))[0, 0, 4] == pytest.approx(ledger.price(first))
    ledger.charge(first)
    assert ledger.price(Suggestion(0, 5, 4)) == 4 * 100


def test_the_space_is_the_grid_in_the_order_of_the_table(space):
    assert [setting.transfer_set for setting in space.settings] == ["student"] * 4 + ["both"] * 4 + [
        "public_unlabelled"
    ] * 2
    assert space.settings[0][1:] == (1.0, 0.5, 0.5, None, None, None)
    default = space.settings[space.default_setting]
    assert default == ("public_unlabelled", 1.0, 1.0, 1.0, None, None, None)
    assert list(zip(space.students_Q, space.teachers_Q, strict=True))[3:6] == [(0, 4), (1, 0), (1, 2)]
    assert space.num_samples_QS[3].tolist() == [30] * 4 + [140] * 4 + [40] * 2


def test_a_resumed_study_plans_the_same_iterations(space):
    whole = finished(opened(space, HalvingTuner(space, seed=1)))
    again = opened(space, HalvingTuner(space, seed=1))
    for planned in whole.iterations:
        assert step(again) == planned
    assert again.curve == whole.curve[: len(again.curve)]


def test_a_saved_iteration_is_followed_whatever_the_tuner_suggests(space):
    study = opened(space, Scripted(space, [[Suggestion(0, 0, 4)], [Suggestion(1, 0, 4)]]), budget=0.1)
    study.plan(seconds=0.0)
    study.accept(Iteration(number=0, phase="search", suggestions=(Suggestion(3, 2, 1),), seconds=0.0))
    assert study.progress.trials == {(3, 2): 1}
    assert step(study).suggestions == (Suggestion(1, 0, 4),)


@pytest.mark.parametrize("budget", [0.01, 0.1, 0.5, 1.0])
def test_a_study_spends_most_of_its_budget_and_no_more(space, budget):
    study = finished(opened(space, HalvingTuner(space, seed=0), budget=budget))
    largest = space.num_samples_QS.max() * (space.num_epochs + 1)
    assert study.account.spent <= budget * study.account.full
    if budget < 1:
        assert study.account.spent > budget * study.account.full - largest


def test_a_study_says_whether_the_budget_or_the_tuner_ended_it(space):
    spent = finished(opened(space, HalvingTuner(space, seed=0)))
    assert spent.iterations[-1].reason == "the budget is spent"
    idle = finished(opened(space, Scripted(space, [[Suggestion(0, 0, 1)]])))
    assert idle.iterations[-1].reason == "the tuner suggests nothing more"


def test_during_the_search_an_iteration_is_planned_before_the_previous_one_is_done(space):
    study = opened(space, HalvingTuner(space, seed=0))
    for number in range(5):
        assert study.num_needed == max(number - 1, 0)
        assert step(study).phase == "search"


def test_a_trial_continues_only_after_its_earlier_epochs_are_done(space):
    tuner = Scripted(space, [[Suggestion(0, 0, 1), Suggestion(0, 0, 2)], [Suggestion(0, 0, 4), Suggestion(1, 0, 4)]])
    study = opened(space, tuner)
    iterations = [step(study).suggestions for _ in range(3)]
    assert iterations == [(Suggestion(0, 0, 1),), (Suggestion(1, 0, 4),), (Suggestion(0, 0, 2),)]
    assert step(study).suggestions == (Suggestion(0, 0, 4),)
    assert finished(study).iterations[-1].phase == "end"


def test_a_repeated_suggestion_is_not_trained_again(space):
    study = opened(
        space,
        Scripted(space, [[Suggestion(0, 0, 4)], [Suggestion(1, 1, 4)], [Suggestion(0, 0, 4), Suggestion(0, 0, 2)]]),
        budget=0.1,
    )
    finished(study)
    assert [planned.suggestions for planned in study.iterations] == [(Suggestion(0, 0, 4),), (Suggestion(1, 1, 4),), ()]


def test_chosen_trials_are_trained_to_their_last_epoch_even_if_they_were_never_tried(space):
    study = finished(opened(space, Scripted(space, [[Suggestion(0, 1, 1)]], choice=1)))
    *_, search, finish, end = study.iterations
    assert (search.phase, finish.phase, end.phase) == ("search", "finish", "end")
    assert finish.suggestions == tuple(Suggestion(pair, 1, 4) for pair in range(space.num_pairs))


def test_chosen_trials_with_the_highest_expected_gains_come_first(space):
    tuner = Scripted(space, [[Suggestion(pair, 1, 1) for pair in (2, 5, 7)]], choice=1)
    study = finished(opened(space, tuner, budget=0.03))
    suggestions = study.iterations[1].suggestions
    assert 0 < len(suggestions) < space.num_pairs
    assert [suggestion.pair for suggestion in suggestions][:2] == sorted(
        (2, 5, 7), key=lambda pair: -gain(Suggestion(pair, 1, 1))
    )[:2]


def limited(space, tuner, forbidden, *, budget=0.3):
    """Run a study to its end in which some trials break the limit."""
    study = TunedStudy(space, lambda: tuner, CostLedger(space), budget_fraction=budget, is_limited=True)
    while True:
        while study.num_observed < study.num_needed:
            suggestions = study.iterations[study.num_observed].suggestions
            study.observe(
                [
                    ValidationResult(0.05, (suggestion.pair, suggestion.setting) not in forbidden)
                    for suggestion in suggestions
                ]
            )
        if planned := study.plan(seconds=1.0):
            study.accept(planned)
            if planned.phase == "end":
                return study


def test_under_a_limit_a_wanted_setting_is_measured_and_given_up_if_it_breaks_the_limit(space):
    tuner = Scripted(space, [[Suggestion(0, 0, 4), Suggestion(0, 1, 4), Suggestion(1, 1, 4)]], choice=1)
    study = limited(space, tuner, forbidden={(0, 1), (1, 1), (2, 1)})
    finish = next(planned for planned in study.iterations if planned.phase == "finish")
    assert finish.suggestions == tuple(Suggestion(pair, 1, 4) for pair in range(2, space.num_pairs))
    expected = [0, NO_SETTING, NO_SETTING] + [1] * (space.num_pairs - 3)
    assert study.outcome().choices_Q.tolist() == expected
    assert np.nan_to_num(study.outcome().gains_Q).tolist() == [0.05, 0, 0] + [0.05] * (space.num_pairs - 3)


def test_under_a_limit_a_student_whose_trial_was_not_affordable_is_left(space):
    study = limited(space, Scripted(space, [[Suggestion(0, 1, 1)]], choice=1), forbidden=(), budget=0.03)
    outcome = study.outcome()
    tried = {pair for pair, _ in study.progress.trials}
    assert 0 < len(tried) < space.num_pairs
    assert set(np.flatnonzero(outcome.choices_Q != NO_SETTING)) == tried
    assert (outcome.wanted_Q == 1).all()
    study.close()
    assert study.curve[-1].num_pairs_distilled == len(tried)


def test_a_choice_that_replaces_a_forbidden_one_has_no_prediction(space):
    class Foreseeing(Scripted):
        def predicted(self):
            return np.full(self._space.num_pairs, 0.5)

        def deviations(self):
            return np.full(self._space.num_pairs, 0.1)

    tuner = Foreseeing(space, [[Suggestion(0, 0, 4), Suggestion(0, 1, 4), Suggestion(1, 1, 4)]], choice=1)
    study = limited(space, tuner, forbidden={(0, 1), (1, 1)})
    outcome = study.outcome()
    assert np.isnan([outcome.predicted_Q[0], study.deviations()[0]]).all()
    assert (outcome.predicted_Q[1], study.deviations()[1]) == (0, 0)
    assert outcome.predicted_Q[2:].tolist() == [0.5] * (space.num_pairs - 2)
    assert study.deviations()[2:].tolist() == [0.1] * (space.num_pairs - 2)
    study.close()
    assert study.curve[-1].mean_predicted_gain == pytest.approx((0.05 + 0.5 * (space.num_pairs - 2)) / space.num_pairs)


def test_if_epochs_are_chosen_a_trial_counts_with_its_best_epoch(space):
    tuner = Scripted(
        space, [[Suggestion(0, 0, 2), Suggestion(1, 0, 2)], [], [Suggestion(0, 0, 4), Suggestion(1, 0, 4)]], choice=0
    )
    study = TunedStudy(space, lambda: tuner, CostLedger(space), budget_fraction=0.1, chooses_epochs=True)
    result = {
        Suggestion(0, 0, 2): ValidationResult(0.05, num_epochs=1),
        Suggestion(0, 0, 4): ValidationResult(0.03, num_epochs=3),
        Suggestion(1, 0, 2): ValidationResult(0.05, num_epochs=2),
        Suggestion(1, 0, 4): ValidationResult(0.06, num_epochs=4),
    }
    while True:
        while study.num_observed < study.num_needed:
            suggestions = study.iterations[study.num_observed].suggestions
            study.observe(
                [
                    result.get(suggestion, ValidationResult(0.0, num_epochs=suggestion.num_epochs))
                    for suggestion in suggestions
                ]
            )
        planned = study.plan(seconds=1.0)
        if planned:
            study.accept(planned)
        if planned and planned.phase == "end":
            break
    assert study.outcome().epochs_Q[:2].tolist() == [1, 4]
    assert study.outcome().gains_Q[:2].tolist() == [0.05, 0.06]
    told = {observation.suggestion: observation.gain for observation in tuner.told}
    assert [told[suggestion] for suggestion in result] == [0.05, 0.05, 0.05, 0.06]


def test_the_search_leaves_enough_budget_to_finish_the_chosen_trials(space):
    study = finished(opened(space, HalvingTuner(space, seed=0), budget=0.2))
    last_search = max(planned.number for planned in study.iterations if planned.phase == "search")
    outcome = study.outcome()
    assert all(
        study.progress.epochs(pair, setting) == space.num_epochs
        for pair, setting in enumerate(outcome.choices_Q.tolist())
        if setting != NO_SETTING
    )
    assert last_search > 5
    assert 0 < FINISH_FRACTION < 1


def test_short_trials_lead_to_at_most_about_a_hundred_iterations(space):
    class Brief(Scripted):
        def ask(self, num):
            number = len(self.batches)
            self.batches.extend(range(num))
            places = [divmod(place, len(space.settings)) for place in range(number, number + num)]
            return [Suggestion(pair, setting, 1) for pair, setting in places if pair < space.num_pairs]

    study = finished(opened(space, Brief(space, []), budget=0.2))
    assert len(study.iterations) <= MAX_ITERATIONS + 2


@pytest.mark.parametrize(("num_affordable", "size"), [(0.3, 1), (10, 1), (100, 5), (30_000, 1500)])
def test_an_iteration_is_a_twentieth_of_what_can_be_afforded(num_affordable, size):
    assert NUM_ITERATIONS == 20
    assert suggestions_per_iteration(num_affordable) == size


def test_a_trial_that_diverged_is_over_and_never_chosen_whatever_the_tuner_wants(space):
    tuner = Scripted(space, [[Suggestion(0, 1, 1)], [Suggestion(0, 1, 4), Suggestion(1, 1, 4)]], choice=1)
    study = opened(space, tuner)
    while (planned := study.plan(seconds=0.0)) is None or planned.phase != "end":
        if planned:
            study.accept(planned)
        while study.num_observed < len(study.iterations):
            suggestions = study.iterations[study.num_observed].suggestions
            study.observe(
                [
                    diverged(suggestion.num_epochs)
                    if suggestion.pair == 0
                    else ValidationResult(0.1, True, suggestion.num_epochs)
                    for suggestion in suggestions
                ]
            )
    assert [suggestion for each in study.iterations for suggestion in each.suggestions if suggestion.pair == 0] == [
        Suggestion(0, 1, 1)
    ]
    told = next(each for each in tuner.told if each.suggestion.pair == 0)
    assert (told.gain, told.is_finite) == (-1.0, False)
    outcome = study.outcome()
    assert outcome.choices_Q[0] == NO_SETTING
    assert outcome.choices_Q[1] == 1
    assert np.isnan(outcome.gains_Q[0])


def test_a_trial_that_diverged_later_is_not_chosen_at_an_earlier_epoch(space):
    study = TunedStudy(
        space,
        lambda: Scripted(space, [[Suggestion(0, 1, 1)], [Suggestion(0, 1, 4)]], choice=1),
        CostLedger(space),
        budget_fraction=0.3,
        chooses_epochs=True,
    )
    for result in (ValidationResult(0.2, True, 1), diverged(4)):
        study.accept(study.plan(seconds=0.0))
        study.observe([result])
    assert study.outcome().choices_Q[0] == NO_SETTING
