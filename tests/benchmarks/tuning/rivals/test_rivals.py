"""The behaviour that all rivals share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tuning.replay import Replay, load_replay, play
from benchmarks.tuning.tuners import TUNERS, build
from peerkd.tuning.protocol import Observation
from peerkd.tuning.space import NO_SETTING
from tests.benchmarks.tuning.conftest import NUM_PAIRS, Recorded
from tests.tables import Study

MEASURING = [
    name for name, entry in TUNERS.items() if entry.builder.startswith("benchmarks.tuning.rivals") and entry.is_random
]
BY_PAIR = [name for name in MEASURING if name != "best_single"]


def gain_of(replay: Replay, ask) -> float:
    return float(replay.gains_QSE[ask.pair, ask.setting, ask.num_epochs - 1])


@pytest.mark.parametrize("name", BY_PAIR)
def test_a_known_optimum_is_found_with_the_whole_budget(planted: Callable[..., tuple], name: str) -> None:
    replay, best = planted()
    for seed in range(3):
        tuner = build(name, replay.space, seed=seed, earlier=())
        (score,) = play(tuner, replay, [1.0])
        assert tuner.choices().tolist() == best.tolist()
        assert score.share_recovered == pytest.approx(1)


@pytest.mark.parametrize("name", ["best_single", "portfolio", "first_epoch"])
def test_a_setting_that_is_best_for_all_is_found_on_few_pairs(planted: Callable[..., tuple], name: str) -> None:
    replay, best = planted(one_for_all=True)
    tuner = build(name, replay.space, seed=1, earlier=())
    play(tuner, replay, [0.2])
    assert tuner.choices().tolist() == best.tolist()


@pytest.mark.parametrize("name", MEASURING)
def test_the_same_seed_gives_the_same_suggestions_and_another_does_not(replay: Replay, name: str) -> None:
    runs = []
    for seed in (0, 0, 1):
        tuner = Recorded(build(name, replay.space, seed=seed, earlier=()))
        play(tuner, replay, [0.3])
        runs.append((tuner.asks, tuner.choices().tolist()))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("name", MEASURING)
@pytest.mark.parametrize("share", [0.07, 0.31])
def test_a_restarted_tuner_with_all_observations_continues_like_the_first(
    replay: Replay, name: str, share: float
) -> None:
    whole = Recorded(build(name, replay.space, seed=2, earlier=()))
    play(whole, replay, [0.6])
    num_before = int(share * len(whole.told))
    again = build(name, replay.space, seed=2, earlier=())
    for observation in sorted(whole.told[:num_before]):  # in any order
        again.tell(observation)
    for expected in whole.told[num_before:]:
        (ask,) = again.ask(1)
        assert ask == expected.suggestion
        again.tell(expected)
    assert again.choices().tolist() == whole.choices().tolist()


@pytest.mark.parametrize("name", MEASURING)
def test_several_suggestions_at_once_neither_lose_nor_repeat_a_trial(replay: Replay, name: str) -> None:
    alone, together = (Recorded(build(name, replay.space, seed=0, earlier=())) for _ in range(2))
    play(alone, replay, [1.0])
    while asks := together.ask(7):
        for ask in reversed(asks):
            together.tell(Observation(ask, gain_of(replay, ask)))
    assert len(set(together.asks)) == len(together.asks)
    assert sorted(together.asks) == sorted(alone.asks)


@pytest.mark.parametrize("name", MEASURING)
def test_without_observations_nothing_is_chosen(replay: Replay, name: str) -> None:
    assert (build(name, replay.space, seed=0, earlier=()).choices() == NO_SETTING).all()


@pytest.mark.parametrize("name", MEASURING)
def test_earlier_experiments_help_before_the_first_measurement(planted: Callable[..., tuple], name: str) -> None:
    replay, best = planted(one_for_all=True)
    tuner = build(name, replay.space, seed=0, earlier=[replay.earlier])
    assert tuner.choices().tolist() == best.tolist()


@pytest.mark.parametrize("name", BY_PAIR)
def test_untried_pairs_get_the_setting_that_was_best_on_others(planted: Callable[..., tuple], name: str) -> None:
    replay, best = planted(one_for_all=True)
    tuner = build(name, replay.space, seed=0, earlier=())
    asked = []
    while not any(ask.setting == best[0] and ask.num_epochs == 3 for ask in asked):
        asked += tuner.ask(1)
        tuner.tell(Observation(asked[-1], gain_of(replay, asked[-1])))
    untried = np.setdiff1d(np.arange(NUM_PAIRS), [ask.pair for ask in asked])
    assert (tuner.choices()[untried] == best[untried]).all()


def test_the_default_costs_nothing(replay: Replay) -> None:
    tuner = Recorded(build("default", replay.space, seed=0, earlier=[replay.earlier]))
    (score,) = play(tuner, replay, [1.0])
    assert tuner.asks == []
    assert score.spent == 0
    assert score.gain == score.reference.default


@pytest.mark.parametrize("name", TUNERS)
def test_every_rival_tunes_the_learning_rate(written: Callable[..., Path], name: str) -> None:
    rates = {"learning_rates": (0.005, 0.02, 0.08), "temperatures": (1.0, 4.0), "transfer_sets": ("student",)}
    path = written(Study(num_peers=3, alphas=(0.1, 0.5), **rates, by_epoch=True).table)
    replay = load_replay(path, default_learning_rate=0.02)
    tuner = Recorded(build(name, replay.space, seed=0, earlier=()))
    (score,) = play(tuner, replay, [1.0])
    assert score.spent_share <= 1
    assert set(tuner.choices().tolist()) <= {NO_SETTING, *range(12)}
    if name in ("default", "masks"):
        assert replay.space.settings[tuner.choices()[0]].learning_rate == 0.02
    elif name not in ("peerkd", "peerkd_from_nothing", "zero_shot", "masks"):
        assert {replay.space.settings[ask.setting].learning_rate for ask in tuner.asks} == {0.005, 0.02, 0.08}
