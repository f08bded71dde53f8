from collections.abc import Callable

from benchmarks.tuning.replay import Replay, play
from benchmarks.tuning.tuners import build
from tests.benchmarks.tuning.conftest import NUM_PAIRS, Recorded


def test_every_pair_has_a_setting_before_any_has_the_next(replay: Replay) -> None:
    tuner = Recorded(build("example_order", replay.space, seed=0, earlier=()))
    play(tuner, replay, [0.3])
    assert [ask.setting for ask in tuner.asks] == [place // NUM_PAIRS for place in range(len(tuner.asks))]


def test_a_known_optimum_is_found_with_the_whole_budget(planted: Callable[..., tuple]) -> None:
    replay, best = planted()
    tuner = build("example_order", replay.space, seed=0, earlier=())
    play(tuner, replay, [1.0])
    assert tuner.choices().tolist() == best.tolist()
