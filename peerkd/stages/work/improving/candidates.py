"""The candidates for each student, from the trials of a sweep or the choices of a tuned study.

A sweep has trained everything, so only the chosen trial of a student is trained again. A tuned study has trained no
control, so the controls of a student compete with its most promising distillation here.

Shape suffixes: N = trials of the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from peerkd.config.experiment import ExperimentConfig
from peerkd.results.advice import COLUMNS, advise
from peerkd.study import ties
from peerkd.study.grid import control_settings
from peerkd.study.objective import objective_of
from peerkd.study.splits import EvaluationSets
from peerkd.study.transfer_sets import TRANSFER_SETS
from peerkd.study.trials import IDENTITY_COLUMNS, Trial
from peerkd.training.inputs import StudentTask


def swept_tasks(
    config: ExperimentConfig, trials: pa.Table, students: Sequence[int], sets_P: Sequence[EvaluationSets]
) -> list[StudentTask]:
    """Return the task of each student after a sweep: the trial that ``peerkd.results.advice`` advises, or none.

    Args:
        config: The experiment.
        trials: The table of trials.
        students: The peers that take part.
        sets_P: The sizes of the evaluation sets of every peer.
    """
    objective = objective_of(config.sweep.selection_metric)
    student_N, weight_N, rate_N = (
        trials[name].to_numpy() for name in ("student", "distillation_weight", "learning_rate")
    )
    num_changes_N = ties.num_changes(
        np.array(trials["transfer_set"].to_pylist(), dtype=np.str_),
        trials["temperature"].to_numpy(),
        weight_N,
        rate_N.astype(np.float64),
        default_transfer_set=config.sweep.resolved_default_transfer_set,
        default_learning_rate=config.default_learning_rate,
    )
    measured = trials.select(COLUMNS)
    tasks = []
    for student in students:
        rows = np.flatnonzero(student_N == student)
        advised = advise(
            measured.take(rows).to_pydict(), objective, sets_P[student], num_changes_N=num_changes_N[rows]
        ).advised
        candidates = () if advised is None else (_trial(trials, int(rows[advised])),)
        tasks.append(StudentTask(student=student, candidates=candidates, num_epochs=config.distill.epochs))
    return tasks


def tuned_tasks(
    config: ExperimentConfig, choices: pa.Table, students: Sequence[int], sets_P: Sequence[EvaluationSets]
) -> list[StudentTask]:
    """Return the task of each student after a tuned study: its most promising distillation, and its controls.

    The controls train on every transfer set with labels that needs no other peer than this teacher, for as many epochs
    as the distillation.

    Args:
        config: The experiment.
        choices: The table of choices.
        students: The peers that take part.
        sets_P: The sizes of the evaluation sets of every peer.
    """
    rows = choices.to_pylist()
    return [
        replace(
            _tuned_task(config, student, [row for row in rows if row["student"] == student]),
            evaluation_sets=sets_P[student],
        )
        for student in students
    ]


def _tuned_task(config: ExperimentConfig, student: int, rows: Sequence[Mapping[str, Any]]) -> StudentTask:
    promising = [row for row in rows if row["decision"] == "distil"]
    if not promising:
        controls = tuple(_controls(config, student, teacher=None))
        return StudentTask(student=student, candidates=controls, num_epochs=config.distill.epochs)
    expected = np.array([_expected_gain(row) for row in promising])
    # In a tie the teacher with the lowest number comes first in the table.
    row = promising[int(ties.best(expected, np.zeros(len(promising), dtype=np.int64)))]
    stops_early = config.tune.chooses_epochs and row["epochs"]
    return StudentTask(
        student=student,
        candidates=(Trial.from_record(row), *_controls(config, student, teacher=row["teacher"])),
        num_epochs=row["epochs"] if stops_early else config.distill.epochs,
    )


def _expected_gain(row: Mapping[str, Any]) -> float:
    """Return the gain that the tuner predicts, or else the observed one."""
    gain = row["validation_gain"] if row["predicted_gain"] is None else row["predicted_gain"]
    return -np.inf if gain is None else float(gain)


def _controls(config: ExperimentConfig, student: int, *, teacher: int | None) -> Iterator[Trial]:
    for name in config.sweep.transfer_sets:
        facts = TRANSFER_SETS[name]
        if facts.uses_labels and not (facts.depends_on_teacher and teacher is None):
            owner = teacher if facts.depends_on_teacher else None
            yield from (Trial(student, owner, name, control) for control in control_settings(config.grid))


def _trial(trials: pa.Table, row: int) -> Trial:
    (values,) = trials.select([*IDENTITY_COLUMNS, "distillation_weight"]).slice(row, 1).to_pylist()
    return Trial.from_record(values)
