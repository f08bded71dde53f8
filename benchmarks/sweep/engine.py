"""peerkd itself as a contestant: it trains the units of a plan with the processes of its sweep."""

import multiprocessing
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.sweep.outcome import Lap, Layout, Outcome
from benchmarks.sweep.tasks import chosen_units
from benchmarks.sweep.workloads import Workload
from peerkd.config.experiment import ExperimentConfig
from peerkd.study.trials import Unit, record_identity
from peerkd.training.inputs import EngineChoice, SweepInputs
from peerkd.training.process_pool import run_in_processes


class Engine:
    """The worker processes of a sweep, started as in ``peerkd.stages.work.distill_pairs`` and kept for all rounds."""

    def __init__(self, workload: Workload, inputs: SweepInputs, config: ExperimentConfig, *, layout: Layout) -> None:
        self.layout = layout
        self._units = chosen_units(workload)
        self._waiting: deque[Unit] = deque()
        self._ways_taken: set[str] = set()
        self._news = run_in_processes(
            "peerkd.training.sweep:start",
            (replace(inputs, config=config),),
            self._tasks(),
            num_processes=layout.num_processes,
            poll_seconds=0.05,
        )
        others = {process.pid for process in multiprocessing.active_children()}
        # Each worker first does the shortest unit, so that its one-time work is not timed.
        self._do([replace(self._units[-1], trials=self._units[-1].trials[:1])] * layout.num_processes)
        self._processes = {process.pid for process in multiprocessing.active_children()} - others

    def process_ids(self) -> set[int]:
        """Return the worker processes."""
        return self._processes

    def lap(self) -> Lap:
        """Train all units."""
        started = time.perf_counter()
        outcomes = self._do(self._units)
        seconds = time.perf_counter() - started
        num_samples = {outcome.identity: outcome.num_samples for outcome in outcomes}
        # Each combination of set and teacher counts once, because its units share the logits of the teacher.
        taught = {(unit.owners, unit.teacher): num_samples[unit.trials[0].identity] for unit in self._units}
        return Lap(seconds, outcomes, num_taught=sum(taught.values()), ways_taken=tuple(sorted(self._ways_taken)))

    def close(self) -> None:
        """End the workers."""
        self._news.close()

    def _do(self, units: Sequence[Unit]) -> list[Outcome]:
        self._waiting.extend(units)
        outcomes: list[Outcome] = []
        num_trials = sum(len(unit.trials) for unit in units)
        while len(outcomes) < num_trials:
            _, news = next(self._news)
            if isinstance(news, EngineChoice):
                # The text after the comma says how much faster the choice was, which differs between workers.
                self._ways_taken.add(news.text.partition(",")[0])
            else:
                outcomes.append(_outcome(news))
        return outcomes

    def _tasks(self) -> Iterator[tuple[None, Unit] | None]:
        # None means that no task is ready: the workers wait between rounds.
        while True:
            yield (None, self._waiting.popleft()) if self._waiting else None


def _outcome(record: Mapping[str, Any]) -> Outcome:
    return Outcome(
        record_identity(record),
        record["num_transfer_samples"],
        record["validation_global_accuracy_after"],
        record["test_global_accuracy_after"],
    )
