"""The trade-off between global and own accuracy: choices from the trials of a tuned study, for several weights.

Every choice is made on validation. The points lie on the Pareto front of the mean gains on validation: no combination
of tried settings has a higher gain of one accuracy without a lower gain of the other. A weighted mean of two gains
finds the points of the front that lie on its convex hull.

Shape suffixes: N = trials, or epochs of trials; Q = ordered pairs with a trial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import FloatArray, IntArray
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.study.objective import Objective
from peerkd.study.splits import SCOPES, SPLITS
from peerkd.study.ties import rounded

WEIGHTS: Final = tuple(tenth / 10 for tenth in range(11))
"""The weights of own accuracy for which choices are made, in addition to the weight of the study."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """The choices under one weight.

    Each gain is a mean over all ordered pairs, in which an unchanged student has gain 0.
    """

    own_weight: float
    is_of_study: bool
    """Whether ``own_weight`` is the weight with which the study itself was tuned."""

    validation_global_gain: float
    validation_own_gain: float
    test_global_gain: float
    test_own_gain: float
    num_distilled: int
    """The number of pairs for which a setting is chosen. In all other pairs, the student stays unchanged."""


def front(trials: pa.Table, *, objective: Objective, num_pairs: int, chooses_epochs: bool = False) -> list[FrontPoint]:
    """Return the choices for each weight, in ascending order of the weights.

    If several choices have the same weighted mean, the one with the largest sum of both gains is taken. If these sums
    are equal too, leaving the student unchanged is chosen, or else the first setting of the table.

    Args:
        trials: The trials of the study, in full or in part. A trial that was stopped early counts with its last
            accuracy. Trials that diverged are excluded.
        objective: The objective of the study. Its limit applies to all weights.
        num_pairs: The number of ordered pairs, with or without trials.
        chooses_epochs: Whether a choice may stop after any epoch. Of equal choices, the one that stops first is taken.
    """
    trials = trials.filter(pc.fill_null(trials[IS_FINITE], True))
    pair_N, gains = _gains_by_epoch(trials) if chooses_epochs else _gains(trials)
    weights = sorted({*WEIGHTS, objective.own_weight})
    points = []
    for weight in weights:
        chosen = _choose(pair_N, gains["validation"], replace(objective, own_weight=weight))
        means = {
            f"{split}_{scope}_gain": float(gains[split][scope][chosen].sum()) / num_pairs
            for split in SPLITS
            for scope in SCOPES
        }
        is_of_study = weight == objective.own_weight
        points.append(FrontPoint(own_weight=weight, is_of_study=is_of_study, num_distilled=len(chosen), **means))
    return points


def _gains(trials: pa.Table) -> tuple[IntArray, dict[str, dict[str, FloatArray]]]:
    """Return the index of the pair of each trial, and the gains of all trials by split and scope."""
    gains = {split: {scope: trials[f"{split}_{scope}_gain"].to_numpy() for scope in SCOPES} for split in SPLITS}
    return _pairs(trials), gains


def _gains_by_epoch(trials: pa.Table) -> tuple[IntArray, dict[str, dict[str, FloatArray]]]:
    """Return the index of the pair, and the gains by split and scope, after each epoch of each trial.

    Entries are sorted by epoch, so that the earliest of several equal choices comes first.
    """
    epochs, trial_N = np.array(trials["epochs"].to_pylist(), dtype=np.int64), np.arange(trials.num_rows)
    trial_N, epoch_N = (
        np.repeat(trial_N, epochs),
        np.concatenate([np.empty(0, dtype=np.int64), *(np.arange(num) for num in epochs.tolist())]),
    )
    order_N = np.lexsort((trial_N, epoch_N))
    gains = {
        split: {
            scope: (
                np.concatenate([np.empty(0), *map(_with_nan, trials[BY_EPOCH_COLUMNS[split, scope]].to_pylist())])
                - trials[f"{split}_{scope}_accuracy_before"].to_numpy()[trial_N]
            )[order_N]
            for scope in SCOPES
        }
        for split in SPLITS
    }
    return _pairs(trials)[trial_N[order_N]], gains


def _with_nan(accuracies: Sequence[float | None]) -> FloatArray:
    """Return accuracies by epoch as an array.

    None, which marks an epoch after which weights or logits were not finite, becomes NaN.
    """
    return np.array(accuracies, dtype=np.float64)


def _pairs(trials: pa.Table) -> IntArray:
    student, teacher = (np.asarray(trials[name].to_numpy(), dtype=np.int64) for name in ("student", "teacher"))
    num_peers = int(max(student.max(initial=0), teacher.max(initial=0))) + 1
    pair_N: IntArray = student * num_peers + teacher
    return pair_N


def _choose(pair_N: IntArray, gains: Mapping[str, FloatArray], objective: Objective) -> Sequence[int]:
    """Return the positions of the chosen trials. If a pair has no chosen trial, its student stays unchanged."""
    mean_N, both_N = rounded(objective.gains(gains)), rounded(gains["global"] + gains["own"])
    is_better_N = objective.allows(gains) & ((mean_N > 0) | ((mean_N == 0) & (both_N > 0)))
    order = np.lexsort((-both_N, -mean_N, pair_N))
    order = order[is_better_N[order]]
    _, firsts_Q = np.unique(pair_N[order], return_index=True)
    chosen: list[int] = order[firsts_Q].tolist()
    return chosen
