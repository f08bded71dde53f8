"""The programs that are compared, and the ways in which each of them can be run. This module needs no torch."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from benchmarks.sweep.engine import Engine
from benchmarks.sweep.one_process_each import OneProcessEach
from benchmarks.sweep.outcome import Lap, Layout
from benchmarks.sweep.pool import StudyPool
from benchmarks.sweep.tasks import Task, groups_of_each_set, tasks_of_each_set
from benchmarks.sweep.workloads import Workload, precisions
from peerkd.training.inputs import SweepInputs

PROCESS = "a process a trial"
LOOP = "plain loop"
VMAP = "torch.func.vmap"
GROUPED = "grouped convolution"
ENGINE = "peerkd"


class Program(Protocol):
    """A program that is ready to run laps. It did its one-time work when it was opened."""

    layout: Layout

    def process_ids(self) -> set[int]:
        """Return the ids of the program's current processes. Their child processes belong to the program as well."""

    def lap(self) -> Lap:
        """Run the trials of one round."""

    def close(self) -> None:
        """End the processes of the program."""


class Choice(NamedTuple):
    """A way to run a contestant, such as a number of processes. It affects only the speed."""

    text: str
    open: Callable[[], Program]


class Contestant(NamedTuple):
    """A program with its variants: a row of the table."""

    name: str
    precision: str
    choices: Sequence[Choice]
    """The variants, of which the fastest is used."""


def contestants(
    workload: Workload, inputs: SweepInputs, layouts: Sequence[Layout], *, is_quick: bool
) -> Iterator[Contestant]:
    """Yield the contestants of a workload.

    Args:
        workload: The work of each contestant in a round.
        inputs: The places of the data and the peers.
        layouts: The layouts that contestants may choose from. The first is that of peerkd.
        is_quick: Whether each contestant has only its first choice.
    """
    choosable = layouts[:1] if is_quick else layouts
    tasks = tasks_of_each_set(workload, workload.num_process_trials)
    yield Contestant(
        PROCESS,
        "float32",
        [
            Choice(
                f"{layout}, loader workers: {num_loader_workers}",
                partial(OneProcessEach, inputs, tasks, layout=layout, num_loader_workers=num_loader_workers),
            )
            for layout in choosable
            for num_loader_workers in ((0,) if is_quick else (0, 1))
        ],
    )
    alone = [[task] for task in tasks_of_each_set(workload, workload.num_loop_trials)]
    yield Contestant(LOOP, "float32", [_pooled(inputs, "loop", layout, alone) for layout in choosable])
    for name, way, sizes in ((VMAP, "vmap", workload.vmap_sizes), (GROUPED, "grouped", workload.grouped_sizes)):
        groups_by_size = [groups_of_each_set(workload, workload.num_groups, size=size) for size in sizes]
        choices = [_pooled(inputs, way, layouts[0], groups) for groups in groups_by_size if groups]
        if choices:
            yield Contestant(name, "float32", choices)
    for config in precisions(inputs.config):
        choice = Choice(str(layouts[0]), partial(Engine, workload, inputs, config, layout=layouts[0]))
        yield Contestant(ENGINE, config.distill.precision, [choice])


def _pooled(inputs: SweepInputs, way: str, layout: Layout, groups: Sequence[list[Task]]) -> Choice:
    together = "" if way == "loop" else f", {len(groups[0])} students at once"
    return Choice(f"{layout}{together}", partial(StudyPool, inputs, way, layout, groups))
