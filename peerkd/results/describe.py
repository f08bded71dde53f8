"""The pages that document the tables, generated from their schemas.

``python -m peerkd.results.describe [trials|curves|features|choices|rounds]`` prints a page.
"""

import sys
from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from peerkd.results.choices import CHOICES_SCHEMA
from peerkd.results.curves import CURVES_SCHEMA
from peerkd.results.features import FEATURES_SCHEMA
from peerkd.results.rounds import ROUNDS_SCHEMA
from peerkd.results.schema import TRIALS_SCHEMA
from peerkd.study.trials import IDENTITY_COLUMNS

_TRIALS: Final = f"""\
<!-- Written by `make docs` from peerkd/results/schema.py. Edit that. -->

# The table of trials

`distill_pairs/<key>/trials.parquet` in the store has one row for each training of one student under one
setting. {", ".join(f"`{name}`" for name in IDENTITY_COLUMNS[:-1])} and `{IDENTITY_COLUMNS[-1]}` identify the rows of
one experiment.

- Accuracies and shares are fractions between 0 and 1, and gains are differences of accuracies.
- `global` is the evaluation set of the whole data set, and `own` has the student's own class distribution.
- Choices are made on `validation`; `test` serves only for reporting.
- A control is a training without a teacher: fine-tuning, whose `distillation_weight` is 0, or a training with a
  `target` that is made without the teacher.
- A trial that diverged did not end in finite numbers. Its `is_finite` is false, and the columns with what is measured
  after a trial are null.
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
run. All columns except `value` and `is_finite` together identify a row of a study, and the rows are sorted by them.

| `split` | `quantity` | Meaning |
|---|---|---|
| `train` | `loss`, `loss/<part>` | mean over the epoch of the whole loss, and of each part before it is weighted |
| `train` | `ramp_weight`, `learning_rate` | the factor of the distillation terms, and the learning rate of the steps |
| `validation`, `test` | `accuracy/<predictor>` | share of right predictions after the epoch |
| `validation`, `test` | `disagreement` | share of samples for which two branches disagree, as a mean over all pairs |
| `validation`, `test` | `mean_disagreement` | the same share for the branches of the mean network |

- Predictors are `branch_1`, `branch_2` and so on, `head` (the module that joins the branches) and `average` (the mean
  of the branches' probabilities). The prefix `mean_` marks those of the mean network.
- Choices are made on `validation`; `test` serves only for reporting.
- The last epoch is always evaluated; `evaluation.every_epochs` selects the others.
- A run that diverged ends with the epoch in which it diverged. Its `is_finite` is false in all of its rows, and a value
  that was not a finite number is null.
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

`distill_pairs/<key>/features.parquet` in the store has one row for each ordered pair of peers, with what
was measured before any distillation. The file exists if `sweep.validate_every_epoch` is set. A tuned study always has
it, as `tune_pairs/<key>/features.parquet`.

- Accuracies and shares are fractions between 0 and 1, and gains are differences of accuracies.
- `validation` is the evaluation set of the whole data set. No feature is measured on the test split.
- Training samples are up to 256 samples of each peer, evenly spaced and without augmentation.
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

`tune_pairs/<key>/choices.parquet` in the store has one row for each ordered pair of peers, with the decision
of a tuned study (`peerkd run jointkd --strategy tune`).

- Gains are differences of accuracies, as fractions. A gain is the mean of the gains of global and own accuracy, in
  which own accuracy has the weight `tune.own_weight`.
- Choices are made on `validation`, so gains on it are too optimistic. A `test` gain exists only if the chosen trial ran
  to the end, or if it was tried and `tune.chooses_epochs` is set.
- The same folder has `trials.parquet`, the [trials](results-table.md) of the study, in full or in part as `epochs`
  shows; `features.parquet`, the [features](features-table.md) of the pairs; and `curve.parquet`, which
  summarises the choices that the study would have made if it had ended earlier, with the cost up to that time.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

choices = pq.read_table("runs/tune_pairs/<key>/choices.parquet")
print(choices.schema.field("decision").metadata[b"description"].decode())
```
"""

_ROUNDS: Final = """\
<!-- Written by `make docs` from peerkd/results/rounds.py. Edit that. -->

# The table of rounds

`collaborate_peers/<key>/rounds.parquet` in the store has one row for each method, round and peer. These three columns
identify a row. Round 0 stands for the time before the first round, and is the same for all methods.

- Accuracies are fractions between 0 and 1. The common samples are those of the whole data set, and a peer's own samples
  have its own class distribution.
- Peers accept or reject a proposal by their own `validation` samples; `test` serves only for
  reporting.
- A message counts in `sent_bytes` once, and in `received_bytes` for each peer that reads it.
- The teachers of a peer in a round are the peers from which it learns, itself included. The share of a teacher is its
  weight in what the peer imitates, as a mean over the public samples, or its weight in the average of networks. The
  shares of all teachers of a peer sum to 1. A row lists at most 100 teachers. If a peer has more, the
  smallest shares are missing, and the listed ones sum to less than 1. The share of the peer itself is always listed.
  Tables of earlier versions have no columns of teachers and of accuracies on classes.
- The file carries the meanings below as metadata of its columns.

```python
import pyarrow.parquet as pq

rounds = pq.read_table("runs/collaborate_peers/<key>/rounds.parquet")
print(rounds.schema.field("sent_bytes").metadata[b"description"].decode())
```
"""

PAGES: Final[Mapping[str, tuple[str, pa.Schema]]] = {
    "trials": (_TRIALS, TRIALS_SCHEMA),
    "curves": (_CURVES, CURVES_SCHEMA),
    "features": (_FEATURES, FEATURES_SCHEMA),
    "choices": (_CHOICES, CHOICES_SCHEMA),
    "rounds": (_ROUNDS, ROUNDS_SCHEMA),
}
"""The introduction and the schema of each page, by the name of the page."""


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
