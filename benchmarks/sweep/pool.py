"""The programs that train in one process, or in one process per core, and keep their processes for all trials."""

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from benchmarks.sweep.outcome import Lap, Layout, Outcome
from benchmarks.sweep.tasks import Task
from peerkd.training.inputs import SweepInputs


class Pool:
    """Processes that have all been started, each with its number of threads."""

    def __init__(self, layout: Layout) -> None:
        context = multiprocessing.get_context("spawn")
        self.layout = layout
        self.executor = ProcessPoolExecutor(
            layout.num_processes,
            mp_context=context,
            initializer=_open,
            initargs=(layout.num_threads, context.Barrier(layout.num_processes)),
        )
        others = {process.pid for process in multiprocessing.active_children()}
        self.everywhere(_nothing)
        self.process_ids = {process.pid for process in multiprocessing.active_children()} - others

    def everywhere(self, function: Any, *arguments: Any) -> list[Any]:
        """Call a function in all processes at the same time."""
        futures = [self.executor.submit(_at_once, function, *arguments) for _ in range(self.layout.num_processes)]
        return [future.result() for future in futures]

    def close(self) -> None:
        """End the processes."""
        self.executor.shutdown(cancel_futures=True)


class StudyPool:
    """A pool whose processes each train one group of trials after another. In the plain loop, a group is one trial."""

    def __init__(self, inputs: SweepInputs, way: str, layout: Layout, groups: Sequence[list[Task]]) -> None:
        self.layout = layout
        self._way = way
        self._groups = groups
        self._pool = Pool(layout)
        self._pool.everywhere(_open_study, inputs)
        # Each process first does the shortest group, so that its one-time work is not timed.
        self._pool.everywhere(_do, way, groups[-1])

    def process_ids(self) -> set[int]:
        """Return the processes of the pool."""
        return self._pool.process_ids

    def lap(self) -> Lap:
        """Run all groups."""
        started = time.perf_counter()
        futures = [self._pool.executor.submit(_do, self._way, group) for group in self._groups]
        outcomes = [future.result() for future in futures]
        seconds = time.perf_counter() - started
        num_taught = sum(
            of_group[0].num_samples * len({task.teacher for task in group})
            for group, of_group in zip(self._groups, outcomes, strict=True)
        )
        return Lap(seconds, [outcome for of_group in outcomes for outcome in of_group], num_taught=num_taught)

    def close(self) -> None:
        """End the processes."""
        self._pool.close()


_here: dict[str, Any] = {}
"""What a process of a pool keeps between calls: the barrier and the study."""


def _open(num_threads: int, barrier: Barrier) -> None:
    import torch

    torch.set_num_threads(num_threads)
    _here["barrier"] = barrier


def _at_once(function: Any, *arguments: Any) -> Any:
    # A process that waits here cannot take a second call, so every process gets exactly one.
    _here["barrier"].wait()
    return function(*arguments)


def _nothing() -> None:
    pass


def _open_study(inputs: SweepInputs) -> None:
    from benchmarks.sweep.study import Study

    _here["study"] = Study(inputs)


def _do(way: str, group: list[Task]) -> list[Outcome]:
    from benchmarks.sweep.fused import train_group
    from benchmarks.sweep.plain_loop import train_student

    if way == "loop":
        (task,) = group
        return train_student(_here["study"], task)
    return train_group(_here["study"], "vmap" if way == "vmap" else "grouped", group)
