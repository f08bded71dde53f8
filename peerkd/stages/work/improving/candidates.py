"""The trial that is advised for each student. It is trained again, so that its network can be published.

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
from peerkd.results.schema import TARGET
from peerkd.stages.work.tuning.trial_results import at_best_epochs, result_at_best_epoch
from peerkd.study import ties
from peerkd.study.controls import are_controls
from peerkd.study.objective import objective_of
from peerkd.study.splits import EvaluationSets
from peerkd.study.trials import IDENTITY_COLUMNS, Trial, record_identity
from peerkd.training.inputs import StudentTask


def swept_tasks(
    config: ExperimentConfig, trials: pa.Table, students: Sequence[int], sets_P: Sequence[EvaluationSets]
) -> list[StudentTask]:
    """Return the task of each student after a sweep: to repeat the trial that is advised for the student.

    The task has no trial if the advice is to leave the student unchanged.

    Args:
        config: The experiment.
        trials: The table of trials.
        students: The peers that take part.
        sets_P: The sizes of the evaluation sets of every peer.
    """
    student_N, ranks_N = trials["student"].to_numpy(), _ranks(config, trials)
    tasks = []
    for student in students:
        rows = np.flatnonzero(student_N == student)
        advised = _advise(config, trials, rows, ranks_N, sets_P[student]).advised
        candidates = () if advised is None else (_trial(trials, int(rows[advised])),)
        tasks.append(StudentTask(student=student, candidates=candidates, num_epochs=config.distill.epochs))
    return tasks


def best_with_teacher(
    config: ExperimentConfig, trials: pa.Table, *, student: int, teacher: int, sets: EvaluationSets
) -> dict[str, Any] | None:
    """Return the row of the best distillation of a pair on validation data, whether or not it improves the student.

    The result is None if every distillation of the pair has diverged, or if the table contains no distillation of the
    pair.

    Args:
        config: The experiment.
        trials: The table of trials of a sweep.
        student: The student.
        teacher: The teacher.
        sets: The sizes of the student's evaluation sets.
    """
    is_of_pair = pc.and_(pc.equal(trials["student"], student), pc.equal(trials["teacher"], teacher)).fill_null(False)
    rows = np.flatnonzero(is_of_pair.to_numpy())
    best = _advise(config, trials, rows, _ranks(config, trials), sets).distillation
    if best is None:
        return None
    (row,) = trials.slice(int(rows[best]), 1).to_pylist()
    found: dict[str, Any] = row
    return found


def _ranks(config: ExperimentConfig, trials: pa.Table) -> IntArray:
    """Return the rank of each trial in ties, as an array (N,). The lowest rank wins a tie."""
    columns = {name: trials[name].to_pylist() for name in ties.CHANGE_COLUMNS}
    return ties.ranks(columns, default=config.untuned_default)


def _advise(
    config: ExperimentConfig, trials: pa.Table, rows: IntArray, ranks_N: IntArray, sets: EvaluationSets
) -> StudentAdvice:
    """Return the advice for a student, computed from some rows of the table of trials.

    Args:
        config: The experiment.
        trials: The table of trials.
        rows: The indices of the rows, which are trials of the student.
        ranks_N: The rank in ties of every trial of the table. The lowest rank wins a tie.
        sets: The sizes of the student's evaluation sets.
    """
    columns = trials.select(COLUMNS).take(rows).to_pydict()
    objective = objective_of(config.sweep.selection_metric)
    return advise(columns, objective, sets, ranks_N=ranks_N[rows])


def tuned_tasks(
    config: ExperimentConfig,
    choices: pa.Table,
    trials: pa.Table,
    students: Sequence[int],
    sets_P: Sequence[EvaluationSets],
) -> list[StudentTask]:
    """Return the task of each student after a tuned study: to repeat the trial that is advised for the student.

    The task has no trial if the advice is to leave the student unchanged. The advice compares the student's controls
    with the chosen distillations that were trained to their last epoch.

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
    student_N, weight_N, epochs_N = (trials[name].to_numpy() for name in ("student", "distillation_weight", "epochs"))
    is_control_N = np.array(are_controls(weight_N.tolist(), trials[TARGET].to_pylist()), dtype=np.bool_)
    # A control whose target is the student's old self is among the settings of the search, which may have stopped it.
    is_judged_N = (weight_N == 0) | (epochs_N == config.distill.epochs) | config.tune.chooses_epochs
    competes_N = (is_control_N & is_judged_N) | np.array([each in chosen for each in identities], dtype=np.bool_)
    ranks_N = _ranks(config, trials)
    judged = at_best_epochs(trials, objective) if config.tune.chooses_epochs else trials
    tasks = []
    for student in students:
        rows = np.flatnonzero((student_N == student) & competes_N)
        advised = advise(
            judged.select(COLUMNS).take(rows).to_pydict(),
            objective,
            sets_P[student],
            ranks_N=ranks_N[rows],
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
