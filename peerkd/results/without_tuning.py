"""A comparison of two changes to the untuned default, which shows how much is gained by tuning.

The first change is to choose T and alpha for each pair. The second change is to use another loss or target for all
pairs, with the T and alpha of the untuned default. All compared trials have the transfer set and the learning rate of
the untuned default. Choices are made on validation, and gains are measured on test.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from peerkd.arrays import BoolArray, FloatArray, IntArray
from peerkd.results.intervals import Estimate, mean_over_pairs
from peerkd.results.pair_rows import NO_ROW
from peerkd.results.pairs import at
from peerkd.results.selection import Candidates, best_of_pairs, ranks_of
from peerkd.study import ties
from peerkd.study.defaults import DEFAULT_TEMPERATURE, default_weight

Combination = tuple[str | None, str | None]
"""The names of a loss and of a target, each None if the experiment tries only one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithoutTuning:
    """Gains on test, as fractions: of tuning T and alpha, of another loss or target, and of both together.

    Every mean is over the same pairs.
    """

    other: Combination
    """The combination with the best mean validation accuracy over all pairs, apart from the combination of the
    default."""

    untuned: Estimate
    """The mean gain of the untuned default."""

    tuned: Estimate
    """The mean gain with the loss and target of the untuned default, and T and alpha chosen for each pair."""

    with_other: Estimate
    """The mean gain with ``other``, and the T and alpha of the untuned default."""

    both: Estimate
    """The mean gain with ``other``, and T and alpha chosen for each pair."""

    other_over_tuned: Estimate
    """The mean over pairs of a difference: the pair's gain in ``with_other`` minus its gain in ``tuned``."""


def without_tuning(
    table: pa.Table, trials: Candidates, *, default_transfer_set: str, scope: str
) -> WithoutTuning | None:
    """Compare tuning T and alpha with the best combination of loss and target other than the default's.

    Args:
        table: The table of trials.
        trials: The candidates of the table, with the untuned default.
        default_transfer_set: The transfer set of the untuned default.
        scope: ``global`` or ``own``, the evaluation set of the gains.

    Returns:
        The comparison. None if the default diverged for some pair, or if no other combination was tried on the default
        transfer set without diverging for some pair.
    """
    usual: Combination = trials.default.loss, trials.default.target
    rate = trials.default.learning_rate
    is_tried = ~trials.is_control & (trials.transfer_set == default_transfer_set)
    is_tried &= np.isnan(trials.learning_rate) if rate is None else trials.learning_rate == rate
    is_untuned = is_tried & (trials.temperature == DEFAULT_TEMPERATURE)
    is_untuned &= trials.distillation_weight == default_weight(default_transfer_set)

    def rows(combination: Combination, allowed: BoolArray) -> IntArray:
        of_both = [each == combination for each in zip(trials.loss, trials.target, strict=True)]
        return best_of_pairs(trials, allowed & np.array(of_both, dtype=np.bool_), default_transfer_set)

    untuned_PP = rows(usual, is_untuned)
    others = {(loss, target) for loss, target in zip(trials.loss[is_untuned], trials.target[is_untuned], strict=True)}
    complete = {
        combination: found_PP
        for combination in sorted(others - {usual}, key=str)
        if np.array_equal((found_PP := rows(combination, is_untuned)) != NO_ROW, trials.is_pair_PP)
    }
    if not complete or not np.array_equal(untuned_PP != NO_ROW, trials.is_pair_PP):
        return None
    means = np.array([trials.accuracy_after[found_PP[trials.is_pair_PP]].mean() for found_PP in complete.values()])
    ranks = ranks_of(trials, default_transfer_set)
    ranks_of_complete = np.array([ranks[found_PP[trials.is_pair_PP][0]] for found_PP in complete.values()])
    other = [*complete][int(ties.best(means, ranks_of_complete))]

    def gains(rows_PP: IntArray) -> FloatArray:
        return at(table, f"test_{scope}_gain", rows_PP)

    tuned_PP, other_PP = gains(rows(usual, is_tried)), gains(complete[other])
    return WithoutTuning(
        other=other,
        untuned=mean_over_pairs(gains(untuned_PP)),
        tuned=mean_over_pairs(tuned_PP),
        with_other=mean_over_pairs(other_PP),
        both=mean_over_pairs(gains(rows(other, is_tried))),
        other_over_tuned=mean_over_pairs(other_PP - tuned_PP),
    )
