"""Reduce a full sweep to the columns that a replay reads, so that its table is small enough to be committed."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tuning.sweep_table import FEATURES_NAME, TRIALS_NAME

_COLUMNS: Final = (
    "student",
    "teacher",
    "transfer_set",
    "temperature",
    "alpha",
    "distillation_weight",
    "num_transfer_samples",
    "epochs",
    "is_finite",
    *(
        f"{split}_{scope}_accuracy_{moment}"
        for split in ("validation", "test")
        for scope in ("global", "own")
        for moment in ("before", "by_epoch")
    ),
    "test_global_gain",
    "test_own_gain",
)


def shrink(folder: Path, output: Path) -> None:
    """Write the tables of a sweep with the columns that a replay reads.

    Args:
        folder: Folder with the tables of trials and of features.
        output: Folder for the small tables.
    """
    output.mkdir(parents=True, exist_ok=True)
    trials = pq.read_table(folder / TRIALS_NAME, columns=list(_COLUMNS)).replace_schema_metadata()
    _write(trials.filter(trials["distillation_weight"].to_numpy() > 0), output / TRIALS_NAME)
    _write(pq.read_table(folder / FEATURES_NAME).replace_schema_metadata(), output / FEATURES_NAME)


def _write(table: pa.Table, path: Path) -> None:
    fields = [field.remove_metadata() for field in table.schema]
    pq.write_table(table.cast(pa.schema(fields)), path, compression="zstd", compression_level=19)


def main(arguments: Sequence[str] | None = None) -> None:
    """Shrink the tables of one folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning.shrink", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with trials.parquet and features.parquet")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder for the small tables")
    given = parser.parse_args(arguments)
    shrink(given.folder, given.output)


if __name__ == "__main__":
    main()
