"""The tables of a tuned study: the choice for every ordered pair, and the choices over the course of the study."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from peerkd.results import arrow
from peerkd.results.schema import LEARNING_RATE, LOSS, TARGET
from peerkd.study.trials import LATER_COLUMNS


def _predicted(name: str, meaning: str) -> Iterator[pa.Field]:
    """Yield three columns: a predicted gain or difference of gains, and the two bounds of its interval."""
    yield arrow.field(name, pa.float64(), f"{meaning}; null if the trial did not run to its end, or is a control")
    for end in ("low", "high"):
        yield arrow.field(f"{name}_{end}", pa.float64(), f"The {end} end of the 90 % interval of {name}")


CHOICES_SCHEMA: Final = pa.schema(
    [
        arrow.field("student", pa.int32(), "Peer that is trained", nullable=False),
        arrow.field("teacher", pa.int32(), "Peer that teaches", nullable=False),
        arrow.field(
            "decision",
            pa.string(),
            "Advice for the student: distil, fine_tune (train on without a teacher) or leave (stay unchanged)",
            nullable=False,
        ),
        arrow.field(
            "transfer_set",
            pa.string(),
            "Kind of the chosen transfer set, such as student or both; null if no setting was chosen",
        ),
        arrow.field(
            "temperature", pa.float64(), "Temperature T, by which logits are divided; null if no setting was chosen"
        ),
        arrow.field(
            "alpha",
            pa.float64(),
            "Weight of the term of the loss that conventions.alpha_weighs names; null if no setting was chosen",
        ),
        arrow.field(
            "distillation_weight", pa.float64(), "Weight of the divergence in the loss; null if no setting was chosen"
        ),
        arrow.field(
            LEARNING_RATE,
            pa.float64(),
            "Learning rate of the first step; null if no setting was chosen, or if only distill.learning_rate is tried",
        ),
        arrow.field(LOSS, pa.string(), "Loss; null if no setting was chosen, or if only distill.loss is tried"),
        arrow.field(
            TARGET,
            pa.string(),
            "Distribution that the student imitates; null if no setting was chosen, or if only distill.target is tried",
        ),
        arrow.field(
            "num_trials", pa.int64(), "Settings of this pair that were tried, in full or in part", nullable=False
        ),
        arrow.field(
            "epochs",
            pa.int64(),
            "Number of epochs: those after which to stop if tune.chooses_epochs is set, otherwise those that were "
            "trained; 0 if the setting was not tried",
            nullable=False,
        ),
        arrow.field(
            "validation_gain",
            pa.float64(),
            "Gain of the chosen setting on validation after these epochs; null if it was not tried",
        ),
        arrow.field(
            "predicted_gain", pa.float64(), "Gain on validation that the tuner predicts; null if it predicts none"
        ),
        arrow.field("predicted_gain_deviation", pa.float64(), "Standard deviation of the predicted gain"),
        *_predicted("corrected_gain", "Expected gain of the chosen setting on test"),
        *_predicted("advantage", "Gain of the chosen setting minus that of the best control, as expected on test"),
        arrow.field(
            "test_gain",
            pa.float64(),
            "Gain of the chosen setting on test after these epochs; null if it was not tried, or if the trial did not "
            "end and tune.chooses_epochs is not set",
        ),
    ]
)
"""Every column with its type and, as metadata, its meaning. A gain is measured by the objective of the study: it is a
mean of the gains of global and own accuracy."""

CURVE_SCHEMA: Final = pa.schema(
    [
        arrow.field("iteration", pa.int32(), "Number of the iteration, from 0", nullable=False),
        arrow.field(
            "phase",
            pa.string(),
            "control, search, or finish, which ends the chosen trials",
            nullable=False,
        ),
        arrow.field("spent_share", pa.float64(), "Cost so far, as a share of the full sweep's", nullable=False),
        arrow.field("num_trials", pa.int64(), "Trials so far, in full or in part", nullable=False),
        arrow.field("num_pairs_tried", pa.int64(), "Ordered pairs with a trial so far", nullable=False),
        arrow.field("num_pairs_distilled", pa.int64(), "Pairs with a chosen setting", nullable=False),
        arrow.field("num_chosen_measured", pa.int64(), "Pairs whose chosen setting was tried", nullable=False),
        arrow.field(
            "mean_observed_gain",
            pa.float64(),
            "Mean gain on validation over all pairs; a pair without a tried choice counts as 0",
            nullable=False,
        ),
        arrow.field(
            "mean_predicted_gain",
            pa.float64(),
            "Mean over all pairs of the gain that the tuner predicts; null if it predicts none",
        ),
    ]
)
"""The columns of the curve of a study. Each of about twenty rows describes the choices that the study would have made
if it had ended after one of its iterations."""

CHOICES: Final = arrow.TableKind("table of choices", "CHOICES_SCHEMA", CHOICES_SCHEMA, later_columns=LATER_COLUMNS)
CURVE: Final = arrow.TableKind("curve of a study", "CURVE_SCHEMA", CURVE_SCHEMA)


def assemble(rows: Iterable[Mapping[str, Any]], kind: arrow.TableKind) -> pa.Table:
    """Return rows as a table of a kind, the table of choices or the curve of a study, in the given order."""
    return arrow.checked(pa.Table.from_pylist(list(rows), schema=kind.schema), kind)


def write_table(table: pa.Table, path: Path, kind: arrow.TableKind) -> None:
    """Write a table of a study as Parquet, after checking that it is of the given kind."""
    arrow.write(table, path, kind)


def read_table(path: Path, kind: arrow.TableKind) -> pa.Table:
    """Read a table that ``write_table`` wrote, and check that it is of the given kind."""
    return arrow.read(path, kind)
