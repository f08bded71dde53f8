from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation


def test_the_best_three_of_a_pair_continue_and_three_more_after_all_pairs(replay: Replay) -> None:
    tuner = build("first_epoch", replay.space, seed=0, earlier=())
    asks = []
    while asked := tuner.ask(1):
        asks += asked
        tuner.tell(Observation(asked[0], 0.01 * asked[0].setting))
    assert [ask.num_epochs for ask in asks[:21]] == [1] * 18 + [3] * 3
    assert [ask.setting for ask in asks[18:21]] == [17, 16, 15]
    first = [ask for ask in asks if ask.pair == asks[0].pair]
    assert [ask.setting for ask in first[21:24]] == [14, 13, 12]
    assert asks.index(first[21]) == 12 * 21


def test_untried_pairs_get_the_best_setting_after_the_first_epoch(replay: Replay) -> None:
    tuner = build("first_epoch", replay.space, seed=0, earlier=())
    for ask in tuner.ask(18):
        tuner.tell(Observation(ask, 0.1 if ask.setting == 5 else -0.01))
    for ask in tuner.ask(3):
        tuner.tell(Observation(ask, -0.2))
    pair = ask.pair
    assert tuner.choices().tolist() == [-1 if place == pair else 5 for place in range(12)]
