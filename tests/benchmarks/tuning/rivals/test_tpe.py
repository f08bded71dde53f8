from dataclasses import replace

import numpy as np

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation
from peerkd.tuning.space import SettingOnSet


def test_tpe_concentrates_on_good_settings(replay: Replay) -> None:
    ordered = replace(replay.space, **{name: getattr(replay.space, name)[:1] for name in ("students_Q", "teachers_Q")})
    settings = tuple(
        SettingOnSet(name, t, a, a)
        for name in ("student", "both")
        for t in (1.0, 2.0, 4.0, 8.0)
        for a in np.arange(1, 10) / 10
    )
    ordered = replace(
        ordered,
        settings=settings,
        num_samples_QS=np.ones((1, len(settings)), dtype=np.int64),
        features_QF=np.empty((1, 0)),
    )

    def gain(setting: SettingOnSet) -> float:
        return -abs(setting.alpha - 0.8) - abs(np.log2(setting.temperature) - 2) - (setting.transfer_set == "both")

    late, early = [], []
    for seed in range(5):
        tuner = build("tpe", ordered, seed=seed, earlier=())
        gains = []
        for _ in range(30):
            (ask,) = tuner.ask(1)
            gains.append(gain(settings[ask.setting]))
            tuner.tell(Observation(ask, gains[-1]))
        early.append(np.mean(gains[:10]))
        late.append(np.mean(gains[15:]))
    assert np.mean(late) > np.mean(early) + 0.3


def test_settings_that_do_not_form_a_grid_are_all_tried(replay: Replay) -> None:
    space = replay.space
    settings = (*space.settings[:5], SettingOnSet("public_unlabelled", 4.0, 1.0, 1.0))
    few = replace(space.restricted([0, 1]), settings=settings, num_samples_QS=np.ones((2, 6), dtype=np.int64))
    tuner = build("tpe", few, seed=0, earlier=())
    asked = []
    while asks := tuner.ask(1):
        asked += asks
        tuner.tell(Observation(asks[0], 0.0))
    assert sorted((ask.pair, ask.setting) for ask in asked) == [
        (pair, setting) for pair in (0, 1) for setting in range(6)
    ]


def test_tpe_concentrates_on_the_good_learning_rate(replay: Replay) -> None:
    settings = tuple(
        SettingOnSet("student", t, a, a, rate)
        for rate in (0.001, 0.01, 0.1)
        for t in (1.0, 4.0)
        for a in (0.1, 0.5, 0.9)
    )
    num = {"settings": settings, "num_samples_QS": np.ones((1, 18), dtype=np.int64), "features_QF": np.empty((1, 0))}
    one = replace(replay.space, **{name: getattr(replay.space, name)[:1] for name in ("students_Q", "teachers_Q")})
    num_good = 0
    for seed in range(5):
        tuner = build("tpe", replace(one, **num), seed=seed, earlier=())
        asked = []
        for _ in range(14):
            (ask,) = tuner.ask(1)
            asked.append(settings[ask.setting])
            tuner.tell(Observation(ask, float(asked[-1].learning_rate == 0.01)))
        assert len(set(asked)) == 14
        num_good += sum(setting.learning_rate == 0.01 for setting in asked)
    # There are six settings with the good rate. The ten random trials at the beginning may leave no room for some.
    assert num_good > 5 * 5
