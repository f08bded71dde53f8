"""The choice of the trials that each contestant runs in a round. This module needs no torch.

Contestants are compared by trials per second, so a slow one runs fewer trials than a fast one. All trials come from the
same units, with equal numbers for each transfer set, so that all contestants have equally large sets on average.
"""

from typing import NamedTuple

from benchmarks.sweep.workloads import Workload
from peerkd.study.plan import plan
from peerkd.study.trials import Trial, Unit


class Task(NamedTuple):
    """One trial, described for programs that do not use the plan of peerkd."""

    student: int
    teacher: int
    owners: tuple[int, ...]
    """Peers whose training sets are the transfer set."""

    temperature: float
    distillation_weight: float
    identity: tuple[object, ...]


def chosen_units(workload: Workload) -> list[Unit]:
    """Return the units that the engine runs. Controls are omitted, because they are few and need no teacher."""
    config = workload.config
    planned = plan(config.grid, range(config.partition.num_peers))
    units = [unit for unit in planned if unit.teacher is not None]
    chosen = []
    for transfer_set in config.sweep.tried_transfer_sets:
        of_set = [unit for unit in units if unit.trials[0].transfer_set == transfer_set]
        chosen += of_set[:: workload.unit_stride]
    # The largest units come first, as in the plan.
    return sorted(chosen, key=lambda unit: -len(unit.trials) * max(len(unit.owners), 1))


def tasks_of_each_set(workload: Workload, number: int) -> list[Task]:
    """Return ``number`` trials of each transfer set, or all if a set has fewer, the longest first.

    The trials are spread evenly over the chosen units and their settings.
    """
    tasks = []
    for tasks_of_set in _by_set(workload):
        stride = max(1, len(tasks_of_set) // number)
        tasks += tasks_of_set[::stride][:number]
    return sorted(tasks, key=lambda task: -len(task.owners))


def groups_of_each_set(workload: Workload, number: int, *, size: int) -> list[list[Task]]:
    """Return ``number`` groups of ``size`` trials for each transfer set. Trials of a group have the same samples."""
    groups = []
    for tasks_of_set in _by_set(workload):
        by_owners: dict[tuple[int, ...], list[Task]] = {}
        for task in tasks_of_set:
            by_owners.setdefault(task.owners, []).append(task)
        whole = [
            alike[start : start + size]
            for alike in by_owners.values()
            for start in range(0, len(alike) - size + 1, size)
        ]
        groups += whole[:: max(1, len(whole) // number)][:number]
    return sorted(groups, key=lambda group: -len(group[0].owners))


def _by_set(workload: Workload) -> list[list[Task]]:
    units = chosen_units(workload)
    return [
        [_task(unit, trial) for unit in units for trial in unit.trials if trial.transfer_set == transfer_set]
        for transfer_set in workload.config.sweep.tried_transfer_sets
    ]


def _task(unit: Unit, trial: Trial) -> Task:
    assert unit.teacher is not None
    assert trial.setting.temperature is not None
    return Task(
        student=trial.student,
        teacher=unit.teacher,
        owners=unit.owners,
        temperature=trial.setting.temperature,
        distillation_weight=trial.setting.distillation_weight,
        identity=trial.identity,
    )
