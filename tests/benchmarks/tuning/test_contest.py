import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tuning import contest
from benchmarks.tuning.contest import compete, mean_of, standings, together
from benchmarks.tuning.replay import Replay
from benchmarks.tuning.tuners import TUNERS, TunerEntry, build
from peerkd.tuning.space import Space


def test_every_seed_is_run_and_the_mean_is_over_seeds(replay: Replay) -> None:
    runs = compete("random", replay, [0.1, 0.2], seeds=range(3))
    assert [[score.budget for score in scores] for scores in runs] == [[0.1, 0.2]] * 3
    assert len({scores[0].gain for scores in runs}) > 1
    first, second = standings("a", "random", runs)
    assert (first.budget, second.budget, first.num) == (0.1, 0.2, 3)
    assert first.gain.value == pytest.approx(np.mean([scores[0].gain for scores in runs]))
    assert first.gain.low < first.gain.value < first.gain.high
    assert first.regret.value == pytest.approx(runs[0][0].reference.full - first.gain.value)


def test_a_deterministic_tuner_has_one_seed(replay: Replay) -> None:
    runs = compete("default", replay, [0.1], seeds=range(3))
    assert len(runs) == 1
    (standing,) = standings("a", "default", runs)
    assert math.isnan(standing.gain.low)


def test_every_experiment_has_the_same_weight_whatever_its_number_of_seeds(planted: Callable[..., tuple]) -> None:
    of_each = []
    for seed, num_seeds in ((0, 2), (1, 5)):
        replay, _ = planted(seed)
        (standing,) = standings(str(seed), "random", compete("random", replay, [0.3], seeds=range(num_seeds)))
        of_each.append(standing)
    both = together(of_each)
    assert (both.experiment, both.num, both.budget) == ("all", 2, 0.3)
    assert both.gain.value == pytest.approx(np.mean([each.gain.value for each in of_each]))
    assert both.share_recovered.num == 2


def test_only_a_tuner_that_uses_features_receives_and_pays_for_them(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = replace(replay.space, feature_names=("num_student_samples",), features_QF=np.full((12, 1), 600.0))
    featured = replace(replay, space=space)
    seen = []

    def recorded(name: str, space: Space, **options: object) -> object:
        seen.append(space.feature_names)
        return build(name, space, **options)

    monkeypatch.setattr(contest, "build", recorded)
    for uses_features in (False, True):
        monkeypatch.setitem(TUNERS, "random", TunerEntry(TUNERS["random"].builder, uses_features=uses_features))
        ((score,),) = compete("random", featured, [0.0], seeds=[0])
        assert score.spent == pytest.approx(4 * 4 * 256 / 3 if uses_features else 0)
    assert seen == [(), ("num_student_samples",)]


def test_an_unknown_tuner_is_refused(replay: Replay) -> None:
    with pytest.raises(ValueError, match=r"tuner must be one of peerkd, .*, got luck"):
        compete("luck", replay, [0.1], seeds=[0])


def test_a_mean_omits_missing_values() -> None:
    assert mean_of([0.1, math.nan, 0.3]).value == pytest.approx(0.2)
    assert math.isnan(mean_of([math.nan]).value)
    assert math.isnan(mean_of([0.5]).low)
