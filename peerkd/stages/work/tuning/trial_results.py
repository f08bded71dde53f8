"""The results of trials, computed from their records: gains on each split, and validation results for a tuner.

Shape suffixes: N = records, E = epochs for which a record has accuracies.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from peerkd.arrays import FloatArray
from peerkd.results.outcome import gains
from peerkd.results.schema import BY_EPOCH_COLUMNS, IS_FINITE
from peerkd.stages.journals import Record
from peerkd.study.objective import Objective
from peerkd.study.splits import SCOPES
from peerkd.tuning.validation import ValidationResult, best_epochs, diverged


def results_at_end(records: Sequence[Record], objective: Objective) -> list[ValidationResult]:
    """Return the validation results of trials after the last epochs of their records."""
    gains_N = gains_at_end(records, objective, split="validation")
    triples = zip(records, objective.penalised_gains(gains_N).tolist(), objective.allows(gains_N).tolist(), strict=True)
    return [
        ValidationResult(gain, is_allowed, record["epochs"]) if is_finite(record) else diverged(record["epochs"])
        for record, gain, is_allowed in triples
    ]


def result_at_best_epoch(record: Record, objective: Objective) -> ValidationResult:
    """Return the validation result of a trial after the best epoch of its record."""
    if not is_finite(record):
        return diverged(record["epochs"])
    gains_by_scope = gains_by_epoch(record, objective, split="validation")
    gains_E, is_allowed_E = objective.penalised_gains(gains_by_scope), objective.allows(gains_by_scope)
    # Some weights may not have been finite in the middle of training: no choice stops at such an epoch.
    is_known_E = ~np.isnan(gains_E)
    gains_E, is_allowed_E = np.where(is_known_E, gains_E, -1.0), is_allowed_E & is_known_E
    stop = int(best_epochs(gains_E, is_allowed_E)[-1])
    return ValidationResult(float(gains_E[stop]), bool(is_allowed_E[stop]), record["epochs"] - len(gains_E) + stop + 1)


def at_best_epochs(trials: pa.Table, objective: Objective) -> pa.Table:
    """Return a table of trials with the validation accuracies that each trial has after its best epoch."""
    names = [BY_EPOCH_COLUMNS["validation", scope] for scope in SCOPES]
    before = [f"validation_{scope}_accuracy_before" for scope in SCOPES]
    records = trials.select([*names, *before, IS_FINITE, "epochs"]).to_pylist()
    stops = [result_at_best_epoch(each, objective).num_epochs - each["epochs"] - 1 for each in records]
    for scope, name in zip(SCOPES, names, strict=True):
        after = f"validation_{scope}_accuracy_after"
        values = [each[name][stop] if is_finite(each) else None for each, stop in zip(records, stops, strict=True)]
        place = trials.column_names.index(after)
        trials = trials.set_column(place, trials.schema.field(after), pa.array(values, pa.float64()))
    return trials


def gains_at_end(records: Sequence[Record], objective: Objective, *, split: str) -> dict[str, FloatArray]:
    """Return the gains of trials on a split after their last epochs, by scope: global or own.

    Each array has the shape (N,). The gain of a trial that diverged is NaN.

    Args:
        records: The records of the trials.
        objective: The objective, which determines the scopes.
        split: ``validation`` or ``test``.
    """
    names = [f"{split}_{scope}_accuracy_{moment}" for scope in objective.scopes for moment in ("before", "after")]
    return gains({name: [record[name] for record in records] for name in names}, objective, split=split)


def gains_by_epoch(record: Record, objective: Objective, *, split: str) -> dict[str, FloatArray]:
    """Return the gains of a trial on a split after each of its E recorded epochs, by scope: global or own.

    Each array has the shape (E,). The gain is NaN after an epoch by whose end the training had diverged.
    """
    return {
        scope: np.array(record[BY_EPOCH_COLUMNS[split, scope]], dtype=np.float64)
        - record[f"{split}_{scope}_accuracy_before"]
        for scope in objective.scopes
    }


def is_finite(record: Record) -> bool:
    """Return whether the trial of a record has not diverged."""
    return bool(record[IS_FINITE])


def with_earlier_epochs(earlier: Record, later: Record) -> Record:
    """Return a later record of a trial, with the accuracies of earlier epochs added from an earlier record."""
    num_epochs = later["epochs"]
    lists = {
        name: [*earlier[name][: num_epochs - len(later[name])], *later[name]] for name in BY_EPOCH_COLUMNS.values()
    }
    return {**later, **lists}
