import numpy as np

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.rivals.portfolio import covering
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation


def test_the_second_setting_complements_the_first_and_need_not_be_second_best() -> None:
    gains = np.array([[0.3, 0.29, 0.0], [0.3, 0.29, 0.0], [-0.1, -0.1, 0.2]])
    assert covering(gains, cost_S=np.ones(3)) == [0, 2, 1]


def test_a_more_expensive_setting_must_gain_more() -> None:
    gains = np.array([[0.3, 0.2], [0.3, 0.2]])
    assert covering(gains, cost_S=np.array([2.0, 1.0])) == [1, 0]


def test_settings_that_were_never_tried_come_last() -> None:
    gains = np.array([[np.nan, -0.2, 0.1], [np.nan, -0.2, 0.1]])
    assert covering(gains, cost_S=np.ones(3)) == [2, 0, 1]


def test_two_pairs_are_swept_first_without_prior_knowledge(replay: Replay) -> None:
    tuner = build("portfolio", replay.space, seed=0, earlier=())
    asks = tuner.ask(1000)
    assert len(asks) == 2 * 18
    assert len({ask.pair for ask in asks}) == 2
    for ask in asks:
        tuner.tell(Observation(ask, 0.1 if ask.setting == 7 else 0.0))
    assert {ask.setting for ask in tuner.ask(10)} == {7}


def test_an_earlier_experiment_replaces_the_sweep_of_the_first_pairs(replay: Replay) -> None:
    gains = np.full((12, 18), -0.1)
    gains[:6, 4], gains[6:, 11] = 0.2, 0.1
    tuner = build("portfolio", replay.space, seed=0, earlier=[type(replay.earlier)(space=replay.space, gains_QS=gains)])
    asks = tuner.ask(12)
    assert {ask.setting for ask in asks} == {4}
    assert {ask.pair for ask in asks} == set(range(12))
