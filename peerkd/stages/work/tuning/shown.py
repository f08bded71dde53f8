"""What the records of trials show: gains by split and scope, and what a tuner is told of them.

Shape suffixes: N = records, E = epochs that a record tells of.
"""

from collections.abc import Sequence

import numpy as np

from peerkd.results.arrays import FloatArray
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.stages.journals import Record
from peerkd.study.objective import Objective
from peerkd.tuning.validation import ValidationResult, best_epochs, diverged


def seen_at_end(records: Sequence[Record], objective: Objective) -> list[ValidationResult]:
    """Return what validation shows of trials when they have come to where their records end."""
    gains_N = gains_at_end(records, objective, split="validation")
    shown = zip(records, objective.worth(gains_N).tolist(), objective.allows(gains_N).tolist(), strict=True)
    return [
        ValidationResult(worth, is_allowed, record["epochs"]) if is_finite(record) else diverged(record["epochs"])
        for record, worth, is_allowed in shown
    ]


def seen_at_best(record: Record, objective: Objective) -> ValidationResult:
    """Return what validation shows of a trial after the best of the epochs that its record tells of."""
    if not is_finite(record):
        return diverged(record["epochs"])
    gains_E = gains_by_epoch(record, objective, split="validation")
    worth_E, is_allowed_E = objective.worth(gains_E), objective.allows(gains_E)
    # The network may not have been finite in mid-training: no choice stops at such an epoch.
    is_known_E = ~np.isnan(worth_E)
    worth_E, is_allowed_E = np.where(is_known_E, worth_E, -1.0), is_allowed_E & is_known_E
    stop = int(best_epochs(worth_E, is_allowed_E)[-1])
    return ValidationResult(float(worth_E[stop]), bool(is_allowed_E[stop]), record["epochs"] - len(worth_E) + stop + 1)


def gains_at_end(records: Sequence[Record], objective: Objective, *, split: str) -> dict[str, FloatArray]:
    """Return what trials gain on a split (N,), for each scope that an objective looks at; NaN if they diverged."""

    def accuracies(name: str, records: Sequence[Record]) -> FloatArray:
        return np.array([record[name] for record in records], dtype=np.float64)

    return {
        scope: accuracies(f"{split}_{scope}_accuracy_after", records)
        - accuracies(f"{split}_{scope}_accuracy_before", records)
        for scope in objective.scopes
    }


def gains_by_epoch(record: Record, objective: Objective, *, split: str) -> dict[str, FloatArray]:
    """Return what a trial gains on a split after each of the last epochs (E,), all that its record tells of.

    The gain is NaN after an epoch at which the network was not finite.
    """
    return {
        scope: np.array(record[BY_EPOCH_COLUMNS[split, scope]], dtype=np.float64)
        - record[f"{split}_{scope}_accuracy_before"]
        for scope in objective.scopes
    }


def is_finite(record: Record) -> bool:
    """Return whether a trial ended in finite numbers."""
    return bool(record[IS_FINITE])


def joined(earlier: Record, later: Record) -> Record:
    """Return the record of a trial, which tells of its last leg, with what an earlier one tells of epochs before."""
    num_epochs = later["epochs"]
    lists = {
        name: [*earlier[name][: num_epochs - len(later[name])], *later[name]] for name in BY_EPOCH_COLUMNS.values()
    }
    return {**later, **lists}
