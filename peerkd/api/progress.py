"""The progress of a run, for a function of the calling program."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from peerkd.launch.invocations.status import InvocationStatus, StageStatus
from peerkd.metrics.progress import split_worker, taking_lines


class RunProgress(NamedTuple):
    """What is known about a run in progress after one of its lines."""

    stage: str
    """The name of the present stage, such as ``distill_pairs``."""

    stages: tuple[str, ...]
    """The names of all stages, in order."""

    text: str
    """The line, without the number of the worker. It may be a warning, which begins with ``warning``."""

    worker: int
    """The number of the worker that wrote the line."""

    num_done: int | None
    """The number of finished units of the stage, for the present seed.

    None if the stage counts none, or has not counted yet."""

    total: int | None
    """The number of all units of the stage, for the present seed."""

    unit: str | None
    """The noun of what is counted, such as ``trials``."""

    fraction: float
    """The finished share of the whole run, from 0 to 1, roughly in proportion to time."""

    seconds: float
    """The time since the call."""


ProgressFunction = Callable[[RunProgress], object]


@contextlib.contextmanager
def reporting_progress(
    call: ProgressFunction | None, *, pipeline: str, experiment: str, stages: Sequence[str]
) -> Iterator[None]:
    """Call a function with the progress of the run in the ``with`` block, in place of printing its lines.

    An exception that the function raises interrupts the run as Ctrl-C does, and is then raised from the block.

    Args:
        call: The function. None: lines are printed.
        pipeline: The pipeline and its strategy, in words.
        experiment: The name of the experiment or study.
        stages: The names of the stages of the run.
    """
    if call is None:
        yield
        return
    began_at, caller, stdout = time.time(), threading.current_thread(), sys.stdout
    status = InvocationStatus(
        pipeline=pipeline,
        experiment=experiment,
        started_at=began_at,
        stages=[StageStatus(name=name) for name in stages],
    )
    raised: list[BaseException] = []

    def take(stage: str, text: str) -> None:
        if threading.current_thread() is not caller:
            # An exception in another thread would not end the run.
            return
        now = time.time()
        status.take(stage, text, now=now)
        worker, line = split_worker(text)
        counts = status.present.counts if status.present else None
        progress = RunProgress(
            stage=stage,
            stages=tuple(each.name for each in status.stages),
            text=line,
            worker=worker,
            num_done=counts and counts.num_done,
            total=counts and counts.total,
            unit=counts and counts.unit,
            fraction=status.fraction,
            seconds=now - began_at,
        )
        try:
            # A compiled pipeline takes what this process prints for the output of its tasks.
            with contextlib.redirect_stdout(stdout):
                call(progress)
        except BaseException as error:
            raised.append(error)
            # Nothing between here and the end of the block handles this exception, or waits for a process because
            # of it.
            raise KeyboardInterrupt from error

    try:
        with taking_lines(take):
            yield
    except KeyboardInterrupt:
        if raised:
            raise raised[0] from None
        raise
