"""The page that documents the table of trials, from its schema: ``python -m peerkd.results.describe``."""

import sys
from typing import Final

import pyarrow as pa

from peerkd.results.schema import IDENTITY_COLUMNS, TRIALS_SCHEMA

_INTRODUCTION: Final = f"""\
<!-- Written by `make docs` from peerkd/results/schema.py. Edit that. -->

# The table of trials

`distill_pairs/<fingerprint>/trials.parquet` in the store has one row for each training of one student under one
setting. {", ".join(f"`{name}`" for name in IDENTITY_COLUMNS[:-1])} and `{IDENTITY_COLUMNS[-1]}` tell the rows of one
experiment apart.

- Accuracies and shares are fractions between 0 and 1, gains are differences of accuracies.
- `global` is the evaluation set of the whole data set, `own` the one with the student's own class distribution.
- `validation` is for choosing, `test` only for reporting what was chosen.
- A control is a training without a teacher: its `distillation_weight` is 0.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

trials = pq.read_table("runs/distill_pairs/<fingerprint>/trials.parquet")
print(trials.schema.field("teacher").metadata[b"description"].decode())
```
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRODUCTION, "| Column | Type | Meaning |", "|---|---|---|"]
    lines += [f"| `{field.name}` | {_type(field)} | {_meaning(field)} |" for field in TRIALS_SCHEMA]
    return "\n".join(lines) + "\n"


def _type(field: pa.Field) -> str:
    name = f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)
    return f"{name} or null" if field.nullable else name


def _meaning(field: pa.Field) -> str:
    text: str = field.metadata[b"description"].decode()
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
