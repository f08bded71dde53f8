"""Tables as objects of pandas, polars or Arrow."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

Form: TypeAlias = Literal["pandas", "polars", "arrow"]
"""The package whose object a table is."""


def read(path: Path) -> "pa.Table":
    """Return the table in a Parquet or CSV file."""
    if path.suffix == ".csv":
        return import_module("pyarrow.csv").read_csv(path)
    return import_module("pyarrow.parquet").read_table(path)


def in_form(table: "pa.Table", form: str) -> Any:
    """Return a table as an object of the package ``form``.

    Raises:
        ValueError: If there is no such form, or its package is not installed.
    """
    converters: Mapping[str, Any] = {
        "arrow": lambda: table,
        "pandas": table.to_pandas,
        "polars": lambda: _polars(table),
    }
    if form not in converters:
        raise ValueError(f"form must be one of {', '.join(converters)}, got {form!r}.")
    try:
        return converters[form]()
    except ImportError as error:
        raise ValueError(
            f"form must be arrow if {form} is not installed, got {form!r}; install it with pip install "
            "'peerkd[tables]'."
        ) from error


def _polars(table: "pa.Table") -> "pl.DataFrame":
    frame: pl.DataFrame = import_module("polars").from_arrow(table)
    return frame


def stacked(by_seed: Mapping[int, "pa.Table"]) -> "pa.Table":
    """Return the rows of one table of several seeds as one table, with a column ``seed``.

    Args:
        by_seed: The table of each seed. Tables of earlier versions may lack columns, which are then null.
    """
    arrow = import_module("pyarrow")
    tables = [
        table
        if "seed" in table.column_names
        else table.add_column(0, "seed", arrow.array([seed] * table.num_rows, arrow.int64()))
        for seed, table in by_seed.items()
    ]
    return arrow.concat_tables(tables, promote_options="permissive")


def from_rows(rows: Sequence[Mapping[str, Any]]) -> "pa.Table":
    """Return rows, which have the same names, as a table."""
    table: pa.Table = import_module("pyarrow").Table.from_pylist(list(rows))
    return table
