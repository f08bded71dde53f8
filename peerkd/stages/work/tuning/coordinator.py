"""The first worker of a tuned study: it plans the iterations, and reports their results to the study."""

import time
from collections.abc import Callable
from typing import Final

from peerkd.artifacts.store import Workspace
from peerkd.metrics.progress import print_line
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.shards import SCRATCH, write_whole
from peerkd.stages.work.tuning.iteration_history import IterationHistory, identity
from peerkd.stages.work.tuning.iterations import Iteration
from peerkd.stages.work.tuning.study import TunedStudy
from peerkd.stages.work.tuning.trial_results import result_at_best_epoch, results_at_end
from peerkd.study.objective import Objective
from peerkd.tuning.validation import ValidationResult

_TIME_IS_OVER: Final = "max_seconds are over"
_LINE_SECONDS: Final = 2.0
"""The minimum time between two progress lines."""


class StudyCoordinator:
    """The planner of iterations, which runs in the first worker."""

    def __init__(
        self,
        history: IterationHistory,
        study: TunedStudy,
        workspace: Workspace,
        *,
        stage: str,
        objective: Objective,
        chooses_epochs: bool,
        max_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history, self.study, self._workspace = history, study, workspace
        self._stage, self._objective, self._max_seconds = stage, objective, max_seconds
        self._chooses_epochs = chooses_epochs
        self._clock, self._began_at, self._earlier_seconds = clock, clock(), 0.0
        self._line_at = -_LINE_SECONDS

    def plan_iterations(self, queue: ShardQueue) -> bool:
        """Plan as many iterations as the results so far allow; return whether more iterations may follow."""
        while not self._history.is_over:
            if not self._observe(queue, self.study.num_needed):
                return True
            planned = self._plan_next(queue)
            if planned:
                self.study.accept(planned)
                self._history.add(planned, queue)
        return False

    def finish(self, queue: ShardQueue) -> float:
        """Report all remaining results to the study. Return the seconds that it took, not counting interruptions."""
        self._observe(queue, len(self._history.iterations) - 1)
        self.study.close()
        return self._seconds()

    def _observe(self, queue: ShardQueue, num_iterations: int) -> bool:
        """Report the results of the first ``num_iterations`` iterations to the study.

        If one of these iterations is not done, only the iterations before it are reported, and False is returned.
        """
        while self.study.num_observed < num_iterations:
            number = self.study.num_observed
            if not queue.is_done(self._history.shards[number]):
                return False
            self.study.observe(self._results(queue, number))
            self._print_progress()
        return True

    def _print_progress(self) -> None:
        if self._clock() - self._line_at >= _LINE_SECONDS:
            self._line_at = self._clock()
            print_line(self._stage, self.study.describe_progress())

    def _results(self, queue: ShardQueue, number: int) -> list[ValidationResult]:
        by_identity = {identity(record): record for record in queue.records(self._history.shards[number])}
        records = [
            by_identity[*self._history.trial(each.pair, each.setting).identity, each.num_epochs]
            for each in self._history.iterations[number].suggestions
        ]
        if self._chooses_epochs:
            return [result_at_best_epoch(record, self._objective) for record in records]
        return results_at_end(records, self._objective)

    def _plan_next(self, queue: ShardQueue) -> Iteration | None:
        saved = self._history.read_next(queue)
        if saved:
            self._earlier_seconds, self._began_at = saved.seconds, self._clock()
            if saved.reason == _TIME_IS_OVER:
                return saved
            # The tuner makes its suggestions again, because later ones may depend on that; the saved ones are used.
            return self.study.plan(seconds=saved.seconds) and saved
        seconds = self._seconds()
        if self._max_seconds is not None and seconds >= self._max_seconds:
            planned: Iteration | None = self.study.end(seconds=seconds, reason=_TIME_IS_OVER)
        else:
            planned = self.study.plan(seconds=seconds)
        if planned:
            write_whole(self._workspace, planned.name, planned.to_line(), partial=f"{SCRATCH}iteration.writing")
        return planned

    def _seconds(self) -> float:
        return self._earlier_seconds + self._clock() - self._began_at
