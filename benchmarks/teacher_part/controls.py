"""The gains of controls on the student's own labelled data, for one fixed setting at a time.

The baseline of ``measure`` is chosen for each pair among controls such as these. Here nothing is chosen: a row of the
table has one setting, and is the mean over all students. The table thus shows where the baseline comes from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.markdown import table as markdown_table
from benchmarks.teacher_part.report import mean_over_seeds, points
from peerkd.study.controls import are_controls

COLUMNS: Final = (
    *("transfer_set", "loss", "target", "temperature", "distillation_weight", "is_finite"),
    *("test_global_gain", "test_own_gain"),
)
"""The columns of the table of trials that are read."""

_HEADER: Final = ("Loss", "T", "Weight", "Gain of global accuracy", "Gain of own accuracy")


class Control(NamedTuple):
    """A setting without a teacher. For fine-tuning, the loss and the temperature are None and the weight is 0."""

    loss: str | None
    temperature: float | None
    weight: float


class ControlGains(NamedTuple):
    """Means over the trials of one setting in one sweep, as fractions of accuracy on the test sets."""

    global_gain: float
    own_gain: float


def measure_controls(table: pa.Table) -> dict[Control, ControlGains]:
    """Return the gains of each setting without a teacher on the transfer set ``student``. Fine-tuning comes first.

    Trials that diverged are omitted.

    Args:
        table: The table of trials of a sweep with several losses and targets.
    """
    is_control = are_controls(table["distillation_weight"].to_pylist(), table["target"].to_pylist())
    controls = table.select(COLUMNS).filter(pa.array(is_control))
    of_student = controls.filter((pc.field("transfer_set") == "student") & pc.field("is_finite"))
    gains: dict[Control, list[tuple[float, float]]] = {}
    for row in of_student.to_pylist():
        setting = Control(row["loss"], row["temperature"], row["distillation_weight"])
        gains.setdefault(setting, []).append((row["test_global_gain"], row["test_own_gain"]))
    ordered = sorted(gains, key=lambda each: (each.loss or "", each.temperature or 0.0, each.weight))
    return {setting: ControlGains(*np.mean(gains[setting], axis=0).tolist()) for setting in ordered}


def section(by_seed: Sequence[Mapping[Control, ControlGains]]) -> str:
    """Return the table of the settings, with intervals over seeds.

    Args:
        by_seed: The gains of each seed. A setting that diverged for all students of a seed lacks this seed.
    """
    settings: Iterable[Control] = dict.fromkeys(setting for gains in by_seed for setting in gains)
    rows = [_row(setting, [gains[setting] for gains in by_seed if setting in gains]) for setting in settings]
    return f"## Single trainings without a teacher, on the student's own data\n\n{markdown_table(_HEADER, rows)}"


def _row(setting: Control, seeds: Sequence[ControlGains]) -> list[str]:
    loss = "fine-tuning" if setting.loss is None and not setting.weight else setting.loss or "the only loss"
    temperature = "" if setting.temperature is None else f"{setting.temperature:g}"
    return [
        loss,
        temperature,
        f"{setting.weight:g}",
        points(mean_over_seeds([gains.global_gain for gains in seeds])),
        points(mean_over_seeds([gains.own_gain for gains in seeds])),
    ]
