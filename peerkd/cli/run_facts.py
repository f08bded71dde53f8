"""The facts about a run in progress, which the terminal and the local page show in their own ways."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from peerkd.launch.invocations.status import RUNNING, Gain, InvocationStatus, StageStatus
from peerkd.metrics.progress import split_note
from peerkd.wording import format_duration


@dataclass(frozen=True, kw_only=True, slots=True)
class StageFacts:
    """What is shown of a stage."""

    name: str
    state: Literal["waiting", "running", "stopped", "done"]
    """``stopped`` is a stage that had begun when the invocation ended without it."""

    text: str
    """The counts of finished units or, in a stage that counts none, its last line. Empty for a stage that waits."""

    passed: str
    """How long the stage has worked, in words. Empty for a stage that waits."""

    fraction: float
    """The finished share of the stage, from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerFacts:
    """What is shown of a worker of the current stage."""

    index: int
    ago: str
    """How long ago the worker printed its last line, in words."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What is shown of a run."""

    title: str
    state: str
    pipeline: str
    passed: str
    """How long the invocation has worked, in words."""

    fraction: float
    """The finished share of the run, from 0 to 1, in which long stages have larger shares."""

    stages: Sequence[StageFacts]
    num_begun: int
    """The number of the current stage, from 1; 0 before the first line."""

    present: Sequence[str]
    """The last line of the worker that printed last: its counts, and its note if it has one."""

    workers: Sequence[WorkerFacts]
    message: str
    """Why the invocation failed; empty if it did not."""

    gains: Sequence[Gain]
    """How the largest gain so far grew in the last stage that has gains."""

    num_done: int
    num_units: int
    unit: str
    """The counts of the stage of ``gains``: how many of how many units are finished, such as ``trials``."""


def facts_of(status: InvocationStatus, *, title: str, state: str, now: float) -> RunFacts:
    """Return the facts about a run.

    Args:
        status: The status of its invocation.
        title: The name of the run.
        state: The state of the invocation.
        now: The present time in seconds since 1970.
    """
    present = status.present
    last = list(status.workers.values())[-1:]
    with_gains = next((stage for stage in reversed(status.stages) if stage.gains and stage.counts), None)
    counts = with_gains.counts if with_gains else None
    return RunFacts(
        title=title,
        state=state,
        pipeline=status.pipeline,
        passed=format_duration((status.ended_at or now) - status.started_at),
        fraction=status.fraction,
        stages=[
            _facts_of_stage(stage, end=status.ended_at or now, is_running=state == RUNNING) for stage in status.stages
        ],
        num_begun=status.stages.index(present) + 1 if present else 0,
        present=[text for worker in last for text in split_note(worker.text) if text],
        workers=[
            WorkerFacts(index=index, ago=format_duration(max(0.0, now - worker.at)), text=worker.text)
            for index, worker in sorted(status.workers.items())
        ],
        message=status.message,
        gains=with_gains.gains if with_gains else (),
        num_done=counts.num_done if counts else 0,
        num_units=counts.total if counts else 0,
        unit=counts.unit if counts else "",
    )


def _facts_of_stage(stage: StageStatus, *, end: float, is_running: bool) -> StageFacts:
    if stage.started_at is None:
        return StageFacts(name=stage.name, state="waiting", text="", passed="", fraction=0.0)
    return StageFacts(
        name=stage.name,
        state="done" if stage.ended_at is not None else "running" if is_running else "stopped",
        text=str(stage.counts) if stage.counts else stage.text,
        passed=format_duration((stage.ended_at or end) - stage.started_at),
        fraction=stage.fraction,
    )
