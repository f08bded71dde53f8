from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.rivals.known import Known
from peerkd.tuning.protocol import EarlierSweep, Observation, Suggestion
from peerkd.tuning.space import NO_SETTING

WHOLE = 3


def known(replay: Replay, *measured: tuple[int, int, int, float], earlier: tuple[EarlierSweep, ...] = ()) -> Known:
    found = Known(replay.space, earlier)
    for pair, setting, num_epochs, gain in measured:
        found.add(Observation(Suggestion(pair, setting, num_epochs), gain))
    return found


def test_the_best_whole_trial_of_a_pair_beats_any_shorter_trial(replay: Replay) -> None:
    found = known(replay, (0, 3, 1, 0.9), (0, 4, WHOLE, 0.1), (0, 5, WHOLE, 0.2))
    assert found.choices()[0] == 5


def test_a_pair_without_a_whole_trial_gets_the_best_setting_of_shorter_trials(replay: Replay) -> None:
    found = known(replay, (0, 3, 1, 0.1), (0, 4, 1, 0.2), (1, 5, WHOLE, 0.1))
    assert found.choices()[0] == 4


def test_a_pair_without_a_gain_stays_unchanged_and_others_get_the_best_average(replay: Replay) -> None:
    found = known(replay, (0, 3, WHOLE, -0.1), (1, 3, WHOLE, 0.3), (1, 4, WHOLE, 0.0), (2, 4, WHOLE, 0.05))
    assert found.choices().tolist() == [NO_SETTING, 3, 4, *[3] * 9]


def test_all_pairs_stay_unchanged_if_all_settings_lose(replay: Replay) -> None:
    found = known(replay, (0, 3, WHOLE, -0.1), (1, 4, WHOLE, -0.2))
    assert (found.choices() == NO_SETTING).all()


def test_one_lucky_trial_does_not_beat_a_setting_that_is_good_on_many_pairs(replay: Replay) -> None:
    found = known(replay, (0, 0, WHOLE, 0.12), *((pair, 1, WHOLE, 0.1) for pair in range(6)), (7, 2, WHOLE, -0.2))
    assert found.best_of_all() == 1


def test_a_longer_trial_replaces_a_shorter_one_in_any_order(replay: Replay) -> None:
    for order in (1, -1):
        found = known(replay, *[(0, 3, 1, 0.9), (0, 3, WHOLE, 0.1)][::order], (0, 4, WHOLE, 0.2))
        assert found.choices()[0] == 4
        assert found.gain(Suggestion(0, 3, 1)) == 0.9
        assert found.gains_after(1)[0, 3] == 0.9


def test_earlier_settings_are_matched_by_their_effect_on_the_loss(replay: Replay) -> None:
    space = replay.space
    other = replace(space, settings=tuple(each._replace(alpha=1 - each.alpha) for each in space.settings[::-1]))
    gains = np.tile(np.arange(18.0), (12, 1))
    found = known(replay, earlier=(EarlierSweep(space=other, gains_QS=gains),))
    assert found.earlier_gains_LS.tolist() == gains[:, ::-1].tolist()
    fewer = replace(space, settings=space.settings[:2])
    found = known(replay, earlier=(EarlierSweep(space=fewer, gains_QS=gains[:, :2]),))
    assert np.isnan(found.earlier_gains_LS[:, 2:]).all()
    assert found.best_of_all() == 1


def test_own_measurements_outweigh_earlier_experiments(replay: Replay) -> None:
    gains = np.zeros((12, 18))
    gains[:, 3] = 0.1
    found = known(replay, earlier=(EarlierSweep(space=replay.space, gains_QS=gains),))
    assert found.best_of_all() == 3
    assert found.expected_gains(found.whole_gains)[3] == pytest.approx(0.1)
    for pair in range(10):
        found.add(Observation(Suggestion(pair, 3, WHOLE), -0.1))
    assert found.best_of_all() != 3
