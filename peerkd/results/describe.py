"""The pages that document the tables, from their schemas.

``python -m peerkd.results.describe [trials|curves|features|choices]`` prints one.
"""

import sys
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from peerkd.results.choices import CHOICES_SCHEMA
from peerkd.results.curves import CURVES_SCHEMA
from peerkd.results.features import FEATURES_SCHEMA
from peerkd.results.schema import TRIALS_SCHEMA
from peerkd.study.trials import IDENTITY_COLUMNS

_TRIALS: Final = f"""\
<!-- Written by `make docs` from peerkd/results/schema.py. Edit that. -->

# The table of trials

`distill_pairs/<key>/trials.parquet` in the store has one row for each training of one student under one
setting. {", ".join(f"`{name}`" for name in IDENTITY_COLUMNS[:-1])} and `{IDENTITY_COLUMNS[-1]}` tell the rows of one
experiment apart.

- Accuracies and shares are fractions between 0 and 1, gains are differences of accuracies.
- `global` is the evaluation set of the whole data set, `own` the one with the student's own class distribution.
- `validation` is for choosing, `test` only for reporting what was chosen.
- A control is a training without a teacher: its `distillation_weight` is 0.
- A trial that diverged did not end in finite numbers. Its `is_finite` is false, and all that would have been measured
  after it is null.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

trials = pq.read_table("runs/distill_pairs/<key>/trials.parquet")
print(trials.schema.field("teacher").metadata[b"description"].decode())
```
"""


_CURVES: Final = """\
<!-- Written by `make docs` from peerkd/results/curves.py. Edit that. -->

# The table of curves

`train_pcl/<key>/curves.parquet` in the store has one row for each quantity that was measured in an epoch of a
run. All columns but `value` tell the rows of one study apart; rows are in the order of these columns.

| `split` | `quantity` | Meaning |
|---|---|---|
| `train` | `loss`, `loss/<part>` | mean over the epoch, of the whole loss and of each part before it is weighted |
| `train` | `ramp_weight`, `learning_rate` | what the distillation is multiplied by, and the rate of the steps |
| `validation`, `test` | `accuracy/<predictor>` | share of right predictions after the epoch |
| `validation`, `test` | `disagreement` | share of samples on which two branches differ in the class, mean over pairs |
| `validation`, `test` | `mean_disagreement` | the same of the branches of the mean network |

- Predictors are `branch_1`, `branch_2` and so on, `head` (what joins the branches) and `average` (the mean of the
  branches' probabilities); with the prefix `mean_` they are those of the mean network.
- `validation` is for choosing, `test` only for reporting.
- The last epoch is always evaluated, others as `evaluation.every_epochs` says.
- A run that diverged ends with the epoch in which it did. Its `is_finite` is false in all of its rows, and a value that
  was not a finite number is null.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

curves = pq.read_table("runs/train_pcl/<key>/curves.parquet")
print(curves.schema.field("epoch").metadata[b"description"].decode())
```
"""

_FEATURES: Final = """\
<!-- Written by `make docs` from peerkd/results/features.py. Edit that. -->

# The table of features

`distill_pairs/<key>/features.parquet` in the store has one row for each ordered pair of peers: what is known of
them before any distillation. It is there where `sweep.validate_every_epoch` is set.

- Accuracies and shares are fractions between 0 and 1, gains are differences of accuracies.
- `validation` is the evaluation set of the whole data set; nothing here is measured on the test split.
- Training samples are up to 256 of each peer, evenly spaced and without augmentation.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

features = pq.read_table("runs/distill_pairs/<key>/features.parquet")
print(features.schema.field("agreement").metadata[b"description"].decode())
```
"""

_CHOICES: Final = """\
<!-- Written by `make docs` from peerkd/results/choices.py. Edit that. -->

# The table of choices

`tune_pairs/<key>/choices.parquet` in the store has one row for each ordered pair of peers: what a tuned study
(`peerkd run jointkd --strategy tune`) has decided for it.

- Gains are differences of accuracies, fractions; of global and own accuracy as `tune.own_weight` weighs them, or of the
  one that `sweep.selection_metric` names.
- `validation` has chosen, so its gains promise too much; `test` is only there where the chosen trial was done whole, or
  where it was tried and `tune.chooses_epochs` is set.
- Beside it lie `trials.parquet`, the [trials](results-table.md) that were done, whole or in part as `epochs` says;
  `features.parquet`, the [features](features-table.md) of the pairs; and `curve.parquet`: what the choices would have
  been as trials went on, and what had been spent by then.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

choices = pq.read_table("runs/tune_pairs/<key>/choices.parquet")
print(choices.schema.field("decision").metadata[b"description"].decode())
```
"""

PAGES: Final[Mapping[str, tuple[str, pa.Schema]]] = {
    "trials": (_TRIALS, TRIALS_SCHEMA),
    "curves": (_CURVES, CURVES_SCHEMA),
    "features": (_FEATURES, FEATURES_SCHEMA),
    "choices": (_CHOICES, CHOICES_SCHEMA),
}
"""Introduction and schema of each page."""


def page(name: str = "trials") -> str:
    """Return a page as Markdown."""
    introduction, schema = PAGES[name]
    lines = [introduction, "| Column | Type | Meaning |", "|---|---|---|"]
    lines += [f"| `{field.name}` | {_type(field)} | {_meaning(field)} |" for field in schema]
    return "\n".join(lines) + "\n"


def _type(field: pa.Field) -> str:
    name = f"list of {field.type.value_type}" if pa.types.is_list(field.type) else str(field.type)
    return f"{name} or null" if field.nullable else name


def _meaning(field: pa.Field) -> str:
    text: str = field.metadata[b"description"].decode()
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page(*sys.argv[1:]))
