from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tuning.replay import Replay
from benchmarks.tuning.rivals.multitask_kernel import Hypers, Kernels, log_likelihood
from benchmarks.tuning.tuners import build
from peerkd.tuning.protocol import Observation


def test_the_likelihood_is_that_of_the_normal_distribution(replay: Replay) -> None:
    features_QF = np.random.default_rng(0).normal(size=(replay.space.num_pairs, 2))
    kernels = Kernels(replace(replay.space, feature_names=("a", "b"), features_QF=features_QF), ())
    places = np.array([[0, 0], [0, 5], [3, 5], [7, 17]])
    misfit = np.array([1.0, -2.0, 0.5, 3.0])
    hypers = Hypers(pair_length=0.7)
    kernel_PP, kernel_SS = kernels.matrices(hypers)
    covariance = np.array([[kernel_PP[p, q] * kernel_SS[s, t] for q, t in places] for p, s in places]) + np.eye(4)
    wanted = -(misfit @ np.linalg.inv(covariance) @ misfit + np.log(np.linalg.det(covariance))) / 2
    assert log_likelihood(kernels, hypers, places, misfit) == pytest.approx(wanted)


def test_a_gain_of_similar_pairs_is_transferred(replay: Replay) -> None:
    is_like = np.arange(12) < 6
    space = replace(replay.space, feature_names=("a",), features_QF=is_like[:, None].astype(float))
    tuner = build("multitask", space, seed=0, earlier=())
    for _ in range(80):
        (ask,) = tuner.ask(1)
        gain = 0.1 if is_like[ask.pair] else -0.1
        tuner.tell(Observation(ask, gain if replay.space.settings[ask.setting].transfer_set == "both" else 0.0))
    choices = tuner.choices()
    sets = [replay.space.settings[place].transfer_set for place in choices]
    assert sets[:6] == ["both"] * 6
    assert "both" not in [name for name, choice in zip(sets[6:], choices[6:], strict=True) if choice >= 0]
