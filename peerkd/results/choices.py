"""The tables of a tuned study: what was chosen for every ordered pair, and how the choices became what they are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from peerkd.results import arrow
from peerkd.results.schema import LEARNING_RATE

Decision = Literal["distil", "leave"]

CHOICES_SCHEMA: Final = pa.schema(
    [
        arrow.field("student", pa.int32(), "Peer that would be trained", nullable=False),
        arrow.field("teacher", pa.int32(), "Peer that would teach", nullable=False),
        arrow.field("decision", pa.string(), "distil, or leave the student as it is", nullable=False),
        arrow.field("transfer_set", pa.string(), "Data to distil on, seen from the pair; null where it is left"),
        arrow.field("temperature", pa.float64(), "Softening of both distributions; null where it is left"),
        arrow.field("alpha", pa.float64(), "Weight as configured (conventions.alpha_weighs); null where it is left"),
        arrow.field("distillation_weight", pa.float64(), "Weight of the divergence in the loss; null where it is left"),
        arrow.field(
            LEARNING_RATE,
            pa.float64(),
            "Learning rate of the first step; null where it is left, or only distill.learning_rate is tried",
        ),
        arrow.field("num_trials", pa.int64(), "Settings of this pair that were tried, if only in part", nullable=False),
        arrow.field(
            "epochs",
            pa.int64(),
            "Epochs of the gains seen: to stop after where tune.chooses_epochs is set, or else all tried; 0: not tried",
            nullable=False,
        ),
        arrow.field(
            "validation_gain", pa.float64(), "Of the chosen setting, after these epochs; null where it was not tried"
        ),
        arrow.field("predicted_gain", pa.float64(), "On validation, as the tuner expects it; null where it does not"),
        arrow.field("predicted_gain_deviation", pa.float64(), "Standard deviation of the predicted gain"),
        arrow.field(
            "test_gain",
            pa.float64(),
            "Of the chosen setting after these epochs; null where not tried, or not to the end and epochs not chosen",
        ),
    ]
)
"""Every column with its type and, as metadata, its meaning. Gains are what the study chooses by."""

CURVE_SCHEMA: Final = pa.schema(
    [
        arrow.field("round", pa.int32(), "Number of the round, from 0", nullable=False),
        arrow.field("phase", pa.string(), "search, or finish: chosen trials, to their end", nullable=False),
        arrow.field("spent_share", pa.float64(), "Cost so far, as a share of the full sweep's", nullable=False),
        arrow.field("num_trials", pa.int64(), "Trials so far, those in part too", nullable=False),
        arrow.field("num_pairs_tried", pa.int64(), "Ordered pairs with a trial so far", nullable=False),
        arrow.field("num_pairs_distilled", pa.int64(), "Pairs with a setting chosen for them", nullable=False),
        arrow.field(
            "num_chosen_measured", pa.int64(), "Of these, those whose chosen setting was tried", nullable=False
        ),
        arrow.field(
            "mean_observed_gain",
            pa.float64(),
            "On validation, mean over all pairs; 0 for one that is left or whose chosen setting was not tried",
            nullable=False,
        ),
        arrow.field("mean_predicted_gain", pa.float64(), "The same as the tuner expects it; null where it does not"),
    ]
)
"""What the choices would have been after rounds of trials, about twenty of them."""

CHOICES: Final = arrow.TableKind("table of choices", "CHOICES_SCHEMA", CHOICES_SCHEMA)
CURVE: Final = arrow.TableKind("curve of a study", "CURVE_SCHEMA", CURVE_SCHEMA)


def assemble(rows: Iterable[Mapping[str, Any]], kind: arrow.TableKind) -> pa.Table:
    """Return rows as a table of their kind, in their order."""
    return arrow.checked(pa.Table.from_pylist(list(rows), schema=kind.schema), kind)


def write_table(table: pa.Table, path: Path, kind: arrow.TableKind) -> None:
    """Write a table of a study as Parquet; see ``arrow.write``."""
    arrow.write(table, path, kind)


def read_table(path: Path, kind: arrow.TableKind) -> pa.Table:
    """Read what ``write_table`` wrote; see ``arrow.read``."""
    return arrow.read(path, kind)
