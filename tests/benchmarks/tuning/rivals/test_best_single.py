from itertools import groupby

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation


def test_the_better_half_is_tried_on_twice_as_many_pairs(replay: Replay) -> None:
    tuner = build("best_single", replay.space, seed=0, earlier=())
    asks = []
    while asked := tuner.ask(1):
        asks += asked
        tuner.tell(Observation(asked[0], 0.01 * asked[0].setting))
    by_pair = [len(list(group)) for _, group in groupby(asks, key=lambda ask: ask.pair)]
    assert by_pair == [18, 9, 9, *[4] * 9]
    assert {ask.setting for ask in asks[-8:]} == {14, 15, 16, 17}
    assert tuner.choices().tolist() == [17] * 12


def test_all_pairs_stay_unchanged_if_even_the_best_setting_loses(replay: Replay) -> None:
    tuner = build("best_single", replay.space, seed=0, earlier=())
    for ask in tuner.ask(18):
        tuner.tell(Observation(ask, -0.01))
    assert tuner.choices().tolist() == [-1] * 12


def test_the_best_quarter_of_earlier_experiments_is_tried_first(replay: Replay) -> None:
    tuner = build("best_single", replay.space, seed=0, earlier=[replay.earlier])
    means = replay.earlier.gains_QS.mean(axis=0)
    asks = tuner.ask(100)
    assert len({ask.pair for ask in asks}) == 1
    assert {ask.setting for ask in asks} == set(means.argsort()[-4:].tolist())
