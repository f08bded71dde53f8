from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.tuning.replay import Replay, check_budgets, play
from benchmarks.tuning.tuners import TUNERS, build
from peerkd.study.objective import Objective
from peerkd.tuning.accounting import CostLedger
from peerkd.tuning.protocol import Observation, Suggestion
from peerkd.tuning.space import NO_SETTING
from tests.benchmarks.tuning.conftest import Recorded


class Listed:
    """A tuner that suggests the given trials, and chooses the best observed setting of each pair, if it has a gain."""

    def __init__(self, asks: list[Suggestion], num_pairs: int) -> None:
        self.asks, self.num_pairs = asks, num_pairs
        self.told: list[Observation] = []

    def ask(self, num: int) -> list[Suggestion]:
        asks, self.asks = self.asks[:num], self.asks[num:]
        return asks

    def tell(self, observation: Observation) -> None:
        self.told.append(observation)

    def choices(self) -> np.ndarray:
        choices, best = np.full(self.num_pairs, NO_SETTING), np.zeros(self.num_pairs)
        for (pair, setting, _), gain, _ in self.told:
            if gain > best[pair]:
                choices[pair], best[pair] = setting, gain
        return choices


def test_a_tuner_observes_the_gain_after_the_suggested_epochs(replay: Replay) -> None:
    asks = [Suggestion(3, 5, 1), Suggestion(3, 5, 3), Suggestion(0, 17, 2)]
    tuner = Listed(asks, replay.space.num_pairs)
    (score,) = play(tuner, replay, [1.0])
    assert tuner.told == [Observation(ask, replay.gains_QSE[ask.pair, ask.setting, ask.num_epochs - 1]) for ask in asks]
    account = replay.account()
    for ask in asks:
        account.charge(ask)
    assert score.spent == account.spent
    assert (score.num_pairs_tried, score.num_trials) == (2, 2)
    assert score.gain == pytest.approx(replay.test_gains.mean_gain(tuner.choices()))


def test_a_suggestion_beyond_the_budget_waits_for_the_next_budget(replay: Replay) -> None:
    asks = [Suggestion(0, 0, 3), Suggestion(1, 0, 3), Suggestion(2, 0, 3)]
    account = replay.account()
    account.charge(asks[0])
    budgets = [account.spent_share * 0.5, account.spent_share * 1.5, 1.0]
    scores = play(Listed(asks, replay.space.num_pairs), replay, budgets)
    assert [score.num_trials for score in scores] == [0, 1, 3]
    assert [score.budget for score in scores] == budgets
    assert scores[0].spent == 0
    assert scores[1].spent == account.spent


@pytest.mark.parametrize("name", TUNERS)
def test_no_budget_is_overspent_and_none_is_wasted(replay: Replay, name: str) -> None:
    tuner = Recorded(build(name, replay.space, seed=0, earlier=()))
    budgets = [0.013, 0.05, 0.21, 0.5, 1.0]
    scores = play(tuner, replay, budgets)
    dearest = max(replay.account().price(Suggestion(0, setting, 3)) for setting in range(len(replay.space.settings)))
    for score in scores:
        assert score.spent_share <= score.budget
        if len(tuner.asks) > len(tuner.told):  # it would have continued
            assert score.spent > score.budget * replay.account().full - dearest
    assert len({observation.suggestion for observation in tuner.told}) == len(tuner.told)
    charged = CostLedger(replay.space)
    for observation in tuner.told:
        charged.charge(observation.suggestion)
    assert scores[-1].spent == charged.spent


def test_features_are_paid_for_before_anything_else(replay: Replay) -> None:
    num_forward = round(3 * replay.account().full * 0.5)
    asks = [Suggestion(pair, 0, 3) for pair in range(12)]
    scores = play(Listed(asks, 12), replay, [0.4, 1.0], num_forward_samples=num_forward)
    assert [score.num_trials for score in scores] == [0, 12]
    assert scores[0].spent_share == pytest.approx(0.5, abs=1e-4)


def test_the_full_sweep_recovers_everything(replay: Replay) -> None:
    everything = [Suggestion(pair, setting, 3) for pair in range(12) for setting in range(18)]
    tuner = build("random", replay.space, seed=3, earlier=())
    (score,) = play(tuner, replay, [1.0])
    assert score.spent_share == 1
    assert score.gain == score.reference.full
    assert score.share_recovered == 1
    assert score.regret == 0
    assert score.num_trials == len(everything)


OBJECTIVES = [
    Objective(),
    Objective(own_weight=1.0),
    Objective(own_weight=0.4),
    Objective(max_own_drop=0.02),
    Objective(own_weight=0.4, max_own_drop=0.0),
]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_choices_follow_validation_even_if_test_data_disagree(
    planted: Callable[..., tuple], objective: Objective
) -> None:
    replay, best = planted(test_sign=-1.0, objective=objective)
    for name in ("random", "portfolio", "tpe", "hyperband"):
        tuner = build(name, replay.space, seed=0, earlier=())
        (score,) = play(tuner, replay, [1.0])
        assert tuner.choices().tolist() == best.tolist()
        assert score.gain == pytest.approx(-0.2)
        assert score.reference.full == pytest.approx(-0.2)


TEMPTING = (0.4, -0.1)
"""Global and own gain of the setting after the best one."""


@pytest.mark.parametrize(
    ("objective", "gain"),
    [
        (Objective(), 0.4),
        (Objective(own_weight=1.0), 0.2),
        (Objective(own_weight=0.3), 0.7 * 0.4 - 0.3 * 0.1),
        (Objective(own_weight=0.5), 0.2),
        (Objective(max_own_drop=0.1), 0.4),
        (Objective(max_own_drop=0.09), 0.2),
        (Objective(own_weight=0.3, max_own_drop=0.09), 0.2),
    ],
)
@pytest.mark.parametrize("name", ["random", "portfolio"])
def test_each_objective_has_its_own_best_choice(
    planted: Callable[..., tuple], objective: Objective, gain: float, name: str
) -> None:
    replay, best = planted(objective=objective, tempting=TEMPTING)
    tuner = build(name, replay.space, seed=0, earlier=())
    (score,) = play(tuner, replay, [1.0])
    assert score.reference.full == pytest.approx(gain)
    assert score.gain == pytest.approx(gain)
    is_best = gain == 0.2
    assert (tuner.choices() == best).all() == is_best


def test_a_setting_that_breaks_the_limit_or_was_not_measured_is_not_chosen(planted: Callable[..., tuple]) -> None:
    objective = Objective(max_own_drop=0.05)
    replay, best = planted(objective=objective, tempting=TEMPTING)
    tempting = replay.gains_QSE[:, :, -1].argmin(axis=1)

    class Stubborn(Listed):
        def choices(self) -> np.ndarray:
            return tempting

    asks = [
        Suggestion(0, int(tempting[0]), 3),
        Suggestion(0, int(best[0]), 3),
        Suggestion(1, int(tempting[1]), 3),
        Suggestion(2, int(best[2]), 1),
    ]
    tuner = Stubborn(asks, 12)
    (score,) = play(tuner, replay, [1.0])
    # Pair 0 gets its second setting, which keeps the limit, instead of the tuner's choice. No other pair has a choice.
    assert score.num_pairs_left == 11
    assert score.gain == pytest.approx(0.2 / 12)
    assert [observation.gain for observation in tuner.told] == pytest.approx([-0.1, 0.2, -0.1, 0.1])
    unlimited, _ = planted(tempting=TEMPTING)
    (free,) = play(Stubborn([], 12), unlimited, [1.0])
    assert free.gain == pytest.approx(0.4)


PEAK = (0.5, 1.0, 0.25)
"""Fractions of a gain after each epoch: the second epoch is the best."""


def test_a_choice_stops_after_its_best_epoch_if_epochs_are_chosen(planted: Callable[..., tuple]) -> None:
    replay, best = planted(progress=PEAK, chooses_epochs=True)
    tuner = build("random", replay.space, seed=0, earlier=())
    (score,) = play(tuner, replay, [1.0])
    assert tuner.choices().tolist() == best.tolist()
    assert score.gain == pytest.approx(0.2)
    assert score.reference.full == pytest.approx(0.2)
    whole, _ = planted(progress=PEAK)
    assert whole.reference.full == pytest.approx(0.2 * 0.25)
    # The default is a whole trial in both cases.
    assert score.reference.default == pytest.approx(whole.reference.default)
    assert replay.earlier.gains_QS[np.arange(12), best] == pytest.approx(np.full(12, 0.2))


def test_a_choice_stops_only_after_an_epoch_that_was_trained(planted: Callable[..., tuple]) -> None:
    replay, best = planted(progress=PEAK, chooses_epochs=True)

    class Knowing(Listed):
        def choices(self) -> np.ndarray:
            return best

    # Three pairs are trained for one epoch, for two, and for three in two parts. The nine others are unmeasured.
    asks = [Suggestion(pair, int(best[pair]), num) for pair, num in ((0, 1), (1, 2), (2, 1), (2, 3))]
    tuner = Knowing(asks, 12)
    (score,) = play(tuner, replay, [1.0])
    assert [observation.gain for observation in tuner.told] == pytest.approx([0.1, 0.2, 0.1, 0.2])
    assert score.gain == pytest.approx((0.1 + 0.2 + 0.2 + 9 * 0.05) / 12)
    paid = replay.account()
    for ask in asks:
        paid.charge(ask)
    assert score.spent == paid.spent


def test_epochs_are_chosen_on_validation_even_if_test_data_disagree(planted: Callable[..., tuple]) -> None:
    replay, _ = planted(progress=PEAK, chooses_epochs=True, test_sign=-1.0)
    (score,) = play(build("random", replay.space, seed=0, earlier=()), replay, [1.0])
    assert score.gain == pytest.approx(-0.2)


def test_the_limit_applies_to_the_chosen_epoch(planted: Callable[..., tuple]) -> None:
    objective = Objective(max_own_drop=0.05)
    replay, _ = planted(progress=PEAK, chooses_epochs=True, tempting=TEMPTING, objective=objective)
    (score,) = play(build("random", replay.space, seed=0, earlier=()), replay, [1.0])
    # The tempting setting gains 0.4 after two epochs for 0.1 of own accuracy, which breaks the limit. After one epoch
    # it gains 0.2 for 0.05, as much as the peak of the best setting.
    assert score.gain == pytest.approx(0.2)
    tempting = replay.gains_QSE[:, :, 1].argmin(axis=1)
    assert replay.answer(Suggestion(0, int(tempting[0]), 3)) == (pytest.approx(0.2), True, 1, True)
    assert replay.answer(Suggestion(0, int(tempting[0]), 1)) == (pytest.approx(0.2), True, 1, True)


def test_the_single_setting_has_one_epoch_for_all_pairs(planted: Callable[..., tuple]) -> None:
    replay, _ = planted(progress=PEAK, chooses_epochs=True, one_for_all=True)
    assert replay.reference.single == pytest.approx(0.2)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_tuner_receives_no_test_gain(planted: Callable[..., tuple], objective: Objective) -> None:
    first, _ = planted(objective=objective)
    second, _ = planted(test_sign=-1.0, objective=objective)
    told = []
    for replay in (first, second):
        tuner = Recorded(build("portfolio", replay.space, seed=0, earlier=[replay.earlier]))
        play(tuner, replay, [0.3])
        told.append((tuner.told, tuner.choices().tolist()))
    assert told[0] == told[1]


def test_a_held_out_part_has_its_own_references_and_full_cost(replay: Replay) -> None:
    pairs = replay.pairs_with([2])
    assert pairs.tolist() == [1, 4, 6, 7, 8, 11]
    part = replay.restricted(pairs)
    assert part.space.students_Q.tolist() == [0, 1, 2, 2, 2, 3]
    np.testing.assert_array_equal(part.gains_QSE, replay.gains_QSE[pairs])
    choices = np.arange(12) % 18
    whole, inside = replay.test_gains.mean_gain(choices), part.test_gains.mean_gain(choices[pairs])
    others = np.setdiff1d(np.arange(12), pairs)
    assert whole == pytest.approx((inside + replay.restricted(others).test_gains.mean_gain(choices[others])) / 2)
    assert part.account().full < replay.account().full
    (score,) = play(build("random", part.space, seed=0, earlier=()), part, [1.0])
    assert score.gain == part.reference.full != replay.reference.full


def test_held_out_pairs_are_not_among_the_known_pairs(replay: Replay) -> None:
    pairs = replay.pairs_with([0])
    earlier, held_out = replay.held_out(pairs)
    assert not np.isin(earlier.space.students_Q, [0]).any()
    assert not np.isin(earlier.space.teachers_Q, [0]).any()
    assert len(earlier.gains_QS) + held_out.space.num_pairs == replay.space.num_pairs
    scores = play(build("portfolio", held_out.space, seed=0, earlier=[earlier]), held_out, [0.0, 0.3])
    assert scores[1].num_pairs_tried == held_out.space.num_pairs


@pytest.mark.parametrize("budgets", [[], [-0.1], [1.1], [float("nan")]])
def test_a_budget_that_is_not_a_fraction_is_refused(budgets: list[float]) -> None:
    with pytest.raises(ValueError, match="budget must be at least one share from 0 to 1, got"):
        check_budgets(budgets)


@pytest.mark.parametrize("budgets", [[0.2, 0.1], [0.1, 0.1]])
def test_budgets_out_of_order_are_refused(budgets: list[float]) -> None:
    with pytest.raises(ValueError, match=r"budget must be in ascending order and each once, got \[0.[12], 0.1\]"):
        check_budgets(budgets)
