from collections import Counter

import pytest

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.rivals.rungs import hyperband_sizes, num_promotions
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation, Suggestion


@pytest.mark.parametrize(("num_epochs", "num"), [(1, 0), (2, 0), (3, 1), (8, 1), (9, 2), (27, 3), (243, 5)])
def test_the_number_of_promotions_follows_from_the_number_of_epochs(num_epochs: int, num: int) -> None:
    assert num_promotions(num_epochs) == num


def test_the_brackets_of_hyperband_are_those_of_the_paper() -> None:
    # Table 1 of Li et al. 2018: R = 81, eta = 3.
    assert hyperband_sizes(81) == [(81, 4), (34, 3), (15, 2), (8, 1), (5, 0)]
    assert hyperband_sizes(1) == [(1, 0)]


def test_a_bracket_of_successive_halving_ends_with_one_whole_trial_the_best_of_three(replay: Replay) -> None:
    tuner = build("successive_halving", replay.space, seed=0, earlier=())
    asks: list[Suggestion] = []
    for number in range(8):
        (ask,) = tuner.ask(1)
        asks.append(ask)
        tuner.tell(Observation(ask, 0.1 * (number % 3)))
    assert [ask.num_epochs for ask in asks] == [1, 1, 1, 3] * 2
    assert len({ask.pair for ask in asks[:4]}) == 1
    assert asks[3].setting == asks[2].setting
    assert asks[4].pair != asks[3].pair


def test_a_bracket_waits_for_its_results_while_others_begin(replay: Replay) -> None:
    tuner = build("successive_halving", replay.space, seed=0, earlier=())
    asks = tuner.ask(10)
    assert Counter(ask.num_epochs for ask in asks) == {1: 10}
    assert len({ask.pair for ask in asks}) == 4
    # The first three trials complete the rung of one pair, which continues before the others.
    for gain, ask in enumerate(asks[:3]):
        tuner.tell(Observation(ask, float(gain)))
    queued = tuner.ask(3)
    assert queued[2] == Suggestion(asks[0].pair, asks[2].setting, 3)
