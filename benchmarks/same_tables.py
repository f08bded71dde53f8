"""Compare the tables of two artifact stores value by value: ``python -m benchmarks.same_tables BEFORE AFTER``.

Use this program to check that a change of the code changes no number: run an experiment at the commit before and at the
commit after, each with an empty ``--output``, and compare the two folders. Columns that hold times, places or
fingerprints are not compared.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

_NOT_COMPARED: Final = ("seconds", "worker", "device", "fingerprint")
"""Parts of the names of columns that differ between two runs of one program."""


def main() -> int:
    """Print a line for each table, and return 1 if any value differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_tables", description=__doc__)
    parser.add_argument("before", type=Path, help="folder of the store that is the reference")
    parser.add_argument("after", type=Path, help="folder of the store that is compared with the reference")
    options = parser.parse_args()
    before, after = _tables(options.before), _tables(options.after)
    if not before:
        parser.error(f"before must be a store with tables, got {options.before}")
    differs = False
    for name in sorted({*before, *after}):
        for line, is_different in _comparisons(before.get(name, []), after.get(name, [])):
            print(f"{name}: {line}")
            differs |= is_different
    return 1 if differs else 0


def _tables(store: Path) -> Mapping[str, Sequence[pa.Table]]:
    """Return the tables of a store by stage and file name. Tables of the same name are sorted by number of rows."""
    found = defaultdict(list)
    for path in sorted(store.glob("*/*/*.parquet")):
        found[f"{path.parts[-3]}/{path.name}"].append(pq.read_table(path))
    return {name: sorted(tables, key=lambda table: table.num_rows) for name, tables in found.items()}


def _comparisons(before: Sequence[pa.Table], after: Sequence[pa.Table]) -> Iterator[tuple[str, bool]]:
    if len(before) != len(after):
        yield f"tables: {len(before)} before and {len(after)} after", True
        return
    for old, new in zip(before, after, strict=True):
        different = different_columns(old, new)
        gone, added = (sorted({*a.column_names} - {*b.column_names}) for a, b in ((old, new), (new, old)))
        line = f"{old.num_rows:,} rows before and {new.num_rows:,} after"
        for what, names in (("columns that differ", different), ("columns gone", gone), ("columns added", added)):
            line += f"; {what}: {', '.join(names)}" if names else ""
        yield line, bool(different or gone) or old.num_rows != new.num_rows


def different_columns(before: pa.Table, after: pa.Table) -> list[str]:
    """Return the columns of both tables that differ in any value, whatever the order of their rows.

    Floating-point numbers are equal if they have the same digits, so that NaN equals NaN.
    """
    names = [
        name
        for name in before.column_names
        if name in after.column_names and not any(part in name for part in _NOT_COMPARED)
    ]
    flat = [(name, "ascending") for name in names if not pa.types.is_nested(before.schema.field(name).type)]
    old, new = (table.select(names).sort_by(flat) if flat else table for table in (before, after))
    return [name for name in names if repr(old[name].to_pylist()) != repr(new[name].to_pylist())]


if __name__ == "__main__":
    sys.exit(main())
