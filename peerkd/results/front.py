"""What global and own accuracy can be had together: choices from the trials of a tuned study, weight by weight.

Every choice is made on validation. The points lie on the Pareto front of the mean gains on validation: nothing that
was tried has more of one accuracy without less of the other. (A mean of two gains finds those that lie on its convex
hull.)

Shape suffixes: N = trials, or epochs of trials to stop after; Q = ordered pairs that have one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.results.arrays import FloatArray, IntArray
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.study.objective import Objective
from peerkd.study.splits import SCOPES, SPLITS
from peerkd.study.ties import rounded

WEIGHTS: Final = tuple(tenth / 10 for tenth in range(11))
"""The weights of own accuracy at which choices are made, beside the study's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """The choices under one weight. Gains are fractions, means over all ordered pairs; who is left gains 0."""

    own_weight: float
    is_of_study: bool
    """Whether the study chose by this weight."""

    validation_global_gain: float
    validation_own_gain: float
    test_global_gain: float
    test_own_gain: float
    num_distilled: int
    """Pairs with a chosen setting."""


def front(trials: pa.Table, *, objective: Objective, num_pairs: int, chooses_epochs: bool = False) -> list[FrontPoint]:
    """Return the choices for each weight, the smallest first.

    Of choices with the same mean, the one with more of both accuracies together is taken; then to leave the student as
    it is, then the first setting of the table.

    Args:
        trials: The trials that were done, whole or in part: each counts with what it had reached. One that diverged
            does not count.
        objective: Of the study. Its limit holds for all weights.
        num_pairs: Ordered pairs, with trials or without.
        chooses_epochs: Whether a choice may stop after any epoch. Then of equal choices the one that stops first.
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
    """Return the pair of each trial as a number, and its gains by split and scope."""
    gains = {split: {scope: trials[f"{split}_{scope}_gain"].to_numpy() for scope in SCOPES} for split in SPLITS}
    return _pairs(trials), gains


def _gains_by_epoch(trials: pa.Table) -> tuple[IntArray, dict[str, dict[str, FloatArray]]]:
    """Return the same for each epoch of each trial, epoch by epoch so that of equal ones the first comes first."""
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
    """Return accuracies by epoch, NaN where the network was not finite."""
    return np.array(accuracies, dtype=np.float64)


def _pairs(trials: pa.Table) -> IntArray:
    student, teacher = (np.asarray(trials[name].to_numpy(), dtype=np.int64) for name in ("student", "teacher"))
    num_peers = int(max(student.max(initial=0), teacher.max(initial=0))) + 1
    pair_N: IntArray = student * num_peers + teacher
    return pair_N


def _choose(pair_N: IntArray, gains: Mapping[str, FloatArray], objective: Objective) -> Sequence[int]:
    """Return the trial that each pair chooses, none for a pair that chooses to leave its student."""
    mean_N, both_N = rounded(objective.gains(gains)), rounded(gains["global"] + gains["own"])
    is_better_N = objective.allows(gains) & ((mean_N > 0) | ((mean_N == 0) & (both_N > 0)))
    order = np.lexsort((-both_N, -mean_N, pair_N))
    order = order[is_better_N[order]]
    _, firsts_Q = np.unique(pair_N[order], return_index=True)
    chosen: list[int] = order[firsts_Q].tolist()
    return chosen
