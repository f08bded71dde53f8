"""The contest: the scores of every tuner on every replay with several seeds, and their means.

Shares, gains and regret are those of the choices on test. Means have 95 % intervals by Student's t. Over the seeds of a
tuner on one experiment, they show its randomness; over experiments, they show how far results carry over to others. A
tuner that draws nothing at random has one seed.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.tuning.replay import Replay, play
from benchmarks.tuning.scoring import Score
from benchmarks.tuning.tuners import build, find
from peerkd.results.intervals import Estimate
from peerkd.results.seeds import paired_difference
from peerkd.tuning.accounting import feature_forward_samples
from peerkd.tuning.experience import Experience
from peerkd.tuning.protocol import EarlierSweep
from peerkd.tuning.space import Space

ALL: Final = "all"
"""Name of the mean over all experiments."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The mean scores of one tuner with one budget, and the intervals of the means."""

    experiment: str
    tuner: str
    budget: float
    num: int
    """The number of values in each mean: seeds, or experiments if the means are over experiments."""

    share_recovered: Estimate
    gain: Estimate
    regret: Estimate
    spent_share: float
    num_pairs_tried: float
    num_trials: float
    tuner_seconds: float


def compete(
    name: str,
    replay: Replay,
    budgets: Sequence[float],
    *,
    seeds: Sequence[int],
    earlier: Sequence[EarlierSweep] = (),
    experience: Experience | None = None,
) -> list[list[Score]]:
    """Return the scores of a tuner at each budget, for each of its seeds.

    Args:
        name: Name of the tuner.
        replay: Sweep to replay.
        budgets: See ``play``.
        seeds: Seeds of the tuner. One that draws nothing at random uses the first one only.
        earlier: Earlier sweeps that the tuner may start from.
        experience: Experience in place of the shipped one; see ``tuners.build``.

    Raises:
        ValueError: If there is no such tuner, or the budgets break their rule.
    """
    entry = find(name)
    space = replay.space if entry.uses_features else _without_features(replay.space)
    num_forward_samples = feature_forward_samples(space)
    runs = []
    for seed in seeds if entry.is_random else seeds[:1]:
        started = time.perf_counter()
        tuner = build(name, space, seed=seed, earlier=earlier, experience=experience)
        seconds = time.perf_counter() - started
        runs.append(play(tuner, replay, budgets, num_forward_samples=num_forward_samples, seconds_so_far=seconds))
    return runs


def standings(experiment: str, tuner: str, runs: Sequence[Sequence[Score]]) -> Iterator[Standing]:
    """Yield the means over the seeds of one tuner on one experiment, budget by budget."""
    for scores in zip(*runs, strict=True):
        yield Standing(
            experiment=experiment,
            tuner=tuner,
            budget=scores[0].budget,
            num=len(scores),
            share_recovered=mean_of([score.share_recovered for score in scores]),
            gain=mean_of([score.gain for score in scores]),
            regret=mean_of([score.regret for score in scores]),
            spent_share=float(np.mean([score.spent_share for score in scores])),
            num_pairs_tried=float(np.mean([score.num_pairs_tried for score in scores])),
            num_trials=float(np.mean([score.num_trials for score in scores])),
            tuner_seconds=float(np.mean([score.tuner_seconds for score in scores])),
        )


def together(experiments: Sequence[Standing]) -> Standing:
    """Return the mean over experiments of one tuner with one budget."""
    return Standing(
        experiment=ALL,
        tuner=experiments[0].tuner,
        budget=experiments[0].budget,
        num=len(experiments),
        share_recovered=mean_of([each.share_recovered.value for each in experiments]),
        gain=mean_of([each.gain.value for each in experiments]),
        regret=mean_of([each.regret.value for each in experiments]),
        spent_share=float(np.mean([each.spent_share for each in experiments])),
        num_pairs_tried=float(np.mean([each.num_pairs_tried for each in experiments])),
        num_trials=float(np.mean([each.num_trials for each in experiments])),
        tuner_seconds=float(np.mean([each.tuner_seconds for each in experiments])),
    )


def mean_of(values: Sequence[float]) -> Estimate:
    """Return the mean of numbers with its 95 % t interval. NaN values are omitted."""
    known = {place: value for place, value in enumerate(values) if not math.isnan(value)}
    return paired_difference(known, dict.fromkeys(known, 0.0))


def _without_features(space: Space) -> Space:
    return replace(space, feature_names=(), features_QF=np.empty((space.num_pairs, 0)))
