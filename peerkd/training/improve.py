"""The training of the better peers: the trial that was chosen for a student is trained again, to get the network.

The trial is trained as in the sweep, so its record and its weights are the same as there, to the last bit.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from torch import Tensor

from peerkd.results.schema import IS_FINITE, TARGET
from peerkd.study.student_choice import decision
from peerkd.study.transfer_sets import set_owners, unlabelled_owners
from peerkd.study.trials import Trial, Unit, record_identity
from peerkd.training.checkpoints import save_tensors
from peerkd.training.devices import process_device
from peerkd.training.inputs import EngineChoice, EpochRange, ImproveInputs, StudentTask
from peerkd.training.process_pool import OpenTask, TaskFunction
from peerkd.training.sweep import SweepRunner
from peerkd.training.trial_state import load_state, state_path


def start(inputs: ImproveInputs, *, process_index: int) -> TaskFunction:
    """Open the data in a process, and return a function that trains and writes the better network of one student.

    The function yields one record for each student, after the network's file is written.
    """
    device = process_device(inputs.sweep.device, process_index=process_index)
    runner = SweepRunner(inputs.sweep, device=device)

    def perform(task: StudentTask) -> Iterator[dict[str, Any]]:
        yield improve(task, inputs, runner)

    return OpenTask(perform, runner.close)


def improve(task: StudentTask, inputs: ImproveInputs, runner: SweepRunner) -> dict[str, Any]:
    """Train the chosen trial of a student, write its network, and return a record of what was done.

    A trial may diverge here if the hardware is not that of the study. The student then stays unchanged.

    Returns:
        A record with ``student``, ``decision``, ``trial`` (the record of the chosen trial, None for an unchanged
            student), the accuracies of the plain network ``before`` and ``after``, and the cost. JSON can represent all
            values.
    """
    started = time.perf_counter()
    records = train_candidates(task.candidates, runner, num_epochs=task.num_epochs)
    chosen = 0 if records and records[0][IS_FINITE] else None
    before = runner.peer_state(task.student)
    weights = before if chosen is None else take_weights(task.candidates[chosen], inputs, num_epochs=task.num_epochs)
    for trial in task.candidates:
        state_path(inputs.states_folder, trial, num_epochs=task.num_epochs).unlink(missing_ok=True)
    save_tensors(inputs.weights(task.student), weights)
    accuracies_before = runner.accuracies(task.student, before)
    record = None if chosen is None else records[chosen]
    return {
        "student": task.student,
        "decision": "leave" if record is None else decision(record["distillation_weight"], record[TARGET]),
        "trial": record,
        "before": accuracies_before,
        "after": accuracies_before if chosen is None else runner.accuracies(task.student, weights),
        "num_trials": len(records),
        "num_samples": sum(record["num_transfer_samples"] * record["epochs"] for record in records),
        "seconds": time.perf_counter() - started,
    }


def train_candidates(trials: Sequence[Trial], runner: SweepRunner, *, num_epochs: int) -> list[dict[str, Any]]:
    """Train trials of one student for some epochs, and return their records in the same order.

    Trials with the same transfer set and teacher are trained together, as in a sweep.
    """
    units = [
        Unit(owners=owners, unlabelled_owners=of_divergence, teacher=teacher, trials=tuple(alike))
        for (owners, of_divergence, teacher), alike in groupby(sorted(trials, key=_place), key=_unit)
    ]
    found = {
        record_identity(record): record
        for unit in units
        for record in runner.do(EpochRange(unit=unit, first_epoch=0, last_epoch=num_epochs))
        if not isinstance(record, EngineChoice)
    }
    return [found[trial.identity] for trial in trials]


def take_weights(trial: Trial, inputs: ImproveInputs, *, num_epochs: int) -> Mapping[str, Tensor]:
    """Read the weights of a trial from the state that its training saved after ``num_epochs`` epochs.

    The trial must have been trained with the same ``inputs`` before, and must not have diverged.
    """
    return load_state(state_path(inputs.states_folder, trial, num_epochs=num_epochs)).weights


def _unit(trial: Trial) -> tuple[tuple[int, ...], tuple[int, ...], int | None]:
    """Return what trials of one unit have in common: the owners of their samples, and their teacher.

    Returns:
        The owners of the samples with labels; the owners of the samples that only the divergence uses, without labels;
            and the teacher whose logits the trial needs, or None.
    """
    # A set that does not depend on a teacher has the same owners whichever peer is named.
    other = trial.student if trial.teacher is None else trial.teacher
    pair = {"student": trial.student, "teacher": other}
    teacher = trial.teacher if trial.setting.distillation_weight > 0 else None
    return set_owners(trial.transfer_set, **pair), unlabelled_owners(trial.transfer_set, **pair), teacher


def _place(trial: Trial) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    owners, of_divergence, teacher = _unit(trial)
    return owners, of_divergence, -1 if teacher is None else teacher
