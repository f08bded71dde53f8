"""The choice of the training that is done again for each student: the one that the advice names.

Shape suffixes: N = trials of the table.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peerkd.arrays import IntArray
from peerkd.config.experiment import ExperimentConfig
from peerkd.results.advice import COLUMNS, StudentAdvice, advise
from peerkd.stages.work.tuning.trial_results import at_best_epochs, result_at_best_epoch
from peerkd.study import ties
from peerkd.study.objective import objective_of
from peerkd.study.splits import EvaluationSets
from peerkd.study.trials import IDENTITY_COLUMNS, Trial, record_identity
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
    student_N, num_changes_N = trials["student"].to_numpy(), _num_changes(config, trials)
    tasks = []
    for student in students:
        rows = np.flatnonzero(student_N == student)
        advised = _advise(config, trials, rows, num_changes_N, sets_P[student]).advised
        candidates = () if advised is None else (_trial(trials, int(rows[advised])),)
        tasks.append(StudentTask(student=student, candidates=candidates, num_epochs=config.distill.epochs))
    return tasks


def best_with_teacher(
    config: ExperimentConfig, trials: pa.Table, *, student: int, teacher: int, sets: EvaluationSets
) -> dict[str, Any] | None:
    """Return the row of the best distillation of a pair on validation data, whether or not it improves the student.

    The result is None if every distillation of the pair has diverged, or the table has none.

    Args:
        config: The experiment.
        trials: The table of trials of a sweep.
        student: The student.
        teacher: The teacher.
        sets: The sizes of the student's evaluation sets.
    """
    is_of_pair = pc.and_(pc.equal(trials["student"], student), pc.equal(trials["teacher"], teacher)).fill_null(False)
    rows = np.flatnonzero(is_of_pair.to_numpy())
    best = _advise(config, trials, rows, _num_changes(config, trials), sets).distillation
    if best is None:
        return None
    (row,) = trials.slice(int(rows[best]), 1).to_pylist()
    found: dict[str, Any] = row
    return found


def _num_changes(config: ExperimentConfig, trials: pa.Table) -> IntArray:
    """Return, for each trial, the number of hyper-parameters that differ from the untuned default, of shape (N,)."""
    columns = {name: trials[name].to_pylist() for name in ties.CHANGE_COLUMNS}
    return ties.num_changes(columns, default=config.untuned_default)


def _advise(
    config: ExperimentConfig, trials: pa.Table, rows: IntArray, num_changes_N: IntArray, sets: EvaluationSets
) -> StudentAdvice:
    """Return the advice for a student, computed from some rows of the table of trials.

    Args:
        config: The experiment.
        trials: The table of trials.
        rows: The indices of the rows, which are trials of the student.
        num_changes_N: The result of ``_num_changes``.
        sets: The sizes of the student's evaluation sets.
    """
    columns = trials.select(COLUMNS).take(rows).to_pydict()
    objective = objective_of(config.sweep.selection_metric)
    return advise(columns, objective, sets, num_changes_N=num_changes_N[rows])


def tuned_tasks(
    config: ExperimentConfig,
    choices: pa.Table,
    trials: pa.Table,
    students: Sequence[int],
    sets_P: Sequence[EvaluationSets],
) -> list[StudentTask]:
    """Return the task of each student after a tuned study: the trial that ``peerkd.results.advice`` advises, or none.

    The advice compares the student's controls with the chosen distillations that were trained to their last epoch.

    Args:
        config: The experiment.
        choices: The table of choices.
        trials: The table of trials, the controls among them.
        students: The peers that take part.
        sets_P: The sizes of the evaluation sets of every peer.
    """
    objective = config.objective
    chosen = {Trial.from_record(row).identity for row in choices.to_pylist() if row["corrected_gain"] is not None}
    identities = [record_identity(record) for record in trials.select(IDENTITY_COLUMNS).to_pylist()]
    weight_N, student_N = (trials[name].to_numpy() for name in ("distillation_weight", "student"))
    competes_N = (weight_N == 0) | np.array([identity in chosen for identity in identities], dtype=np.bool_)
    judged = at_best_epochs(trials, objective) if config.tune.chooses_epochs else trials
    tasks = []
    for student in students:
        rows = np.flatnonzero((student_N == student) & competes_N)
        advised = advise(
            judged.select(COLUMNS).take(rows).to_pydict(),
            objective,
            sets_P[student],
            # In a tie the first row of the table is chosen.
            num_changes_N=np.zeros(len(rows), dtype=np.int64),
        ).advised
        num_epochs = config.distill.epochs
        if advised is not None and config.tune.chooses_epochs:
            (record,) = trials.slice(int(rows[advised]), 1).to_pylist()
            num_epochs = result_at_best_epoch(record, objective).num_epochs
        candidates = () if advised is None else (_trial(trials, int(rows[advised])),)
        tasks.append(StudentTask(student=student, candidates=candidates, num_epochs=num_epochs))
    return tasks


def _trial(trials: pa.Table, row: int) -> Trial:
    (values,) = trials.select([*IDENTITY_COLUMNS, "distillation_weight"]).slice(row, 1).to_pylist()
    return Trial.from_record(values)
