"""The status of an invocation: which stages are done, how far the present one is, and what each worker does.

It is computed from the lines that the stages print, so it is the same for workers on this machine and on a cluster.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple, Self

from peerkd.metrics.progress import Counts, read_gain, read_study, split_worker

RUNNING: Final = "running"
FINISHED: Final = "finished"
FAILED: Final = "failed"
INTERRUPTED: Final = "interrupted"
STOPPED: Final = "stopped"
"""The state of an invocation whose end was not recorded, because its process was killed or its machine was switched
off."""

_SHARES: Final[Mapping[str, float]] = {"pretrain_peers": 4, "improve_peers": 4}
_LONG_STAGES: Final = frozenset({"distill_pairs", "tune_pairs", "train_pcl", "collaborate_peers"})
_LONG_SHARE: Final = 20.0
"""The share of a long stage in the progress bar of a run. Most other stages have the share 1.

The ratio of two shares is roughly the ratio of the durations of the two stages. Only the progress bar uses the shares;
no forecast does.
"""


class Gain(NamedTuple):
    """A gain that was the largest so far."""

    num_done: int
    """The number of finished units when the gain was reported."""

    points: float
    """The gain in validation accuracy, in percentage points."""


@dataclass(kw_only=True, slots=True)
class StageStatus:
    """The progress of a stage."""

    name: str
    counts: Counts | None = None
    """The numbers of finished and of all units in the last progress line, over all workers."""

    text: str = ""
    """The text of the last line that the stage has printed."""

    started_at: float | None = None
    """The time of the first line of the stage, in seconds since 1970."""

    ended_at: float | None = None
    gains: list[Gain] = field(default_factory=list)
    """How the largest gain so far grew. Empty for a stage that reports no gains."""

    num_studies: int = 1
    """The number of studies that the stage works on in turn: one for each seed of the run."""

    num_studies_done: int = 0
    """The number of studies before the present one, to which ``counts`` and ``gains`` belong."""

    @property
    def fraction(self) -> float:
        """The finished share of the stage, from 0 to 1."""
        if self.ended_at is not None:
            return 1.0
        return (self.num_studies_done + (self.counts.fraction if self.counts else 0.0)) / self.num_studies


@dataclass(kw_only=True, slots=True)
class WorkerStatus:
    """The last line of a worker."""

    stage: str
    text: str
    at: float
    """The time at which the worker last printed a line, in seconds since 1970."""


@dataclass(kw_only=True, slots=True)
class InvocationStatus:
    """The status of an invocation, which ``take`` updates with each line."""

    pipeline: str
    experiment: str
    """The name of the experiment or study."""

    started_at: float
    """The time at which the invocation began, in seconds since 1970."""

    stages: list[StageStatus]
    workers: dict[int, WorkerStatus] = field(default_factory=dict)
    """The workers of the current stage, by index."""

    state: str = RUNNING
    message: str = ""
    """Why the invocation failed; empty if it did not."""

    ended_at: float | None = None
    store: str = ""
    """The address of the store, as ``canonical_address`` returns it. Empty if an earlier version did not record it."""

    @property
    def present(self) -> StageStatus | None:
        """The stage that began last; None before the first line."""
        begun = [stage for stage in self.stages if stage.started_at is not None]
        return begun[-1] if begun else None

    @property
    def fraction(self) -> float:
        """The finished share of the whole run, from 0 to 1, in which long stages have larger shares."""
        shares = [_share(stage.name) for stage in self.stages]
        done = sum(share * stage.fraction for share, stage in zip(shares, self.stages, strict=True))
        return 1.0 if self.state == FINISHED else done / sum(shares)

    def take(self, stage_name: str, text: str, *, now: float) -> Counts | None:
        """Update the status with a line of a stage. Return the counts of units that the line states, if any."""
        stage = self._stage(stage_name)
        if stage.started_at is None:
            stage.started_at = now
            self.workers.clear()
            for before in self.stages[: self.stages.index(stage)]:
                before.ended_at = now if before.ended_at is None else before.ended_at
        worker, text = split_worker(text)
        study = read_study(text)
        if study is not None:
            number, stage.num_studies = study
            stage.num_studies_done, stage.counts, stage.gains = number - 1, None, []
        counts = Counts.read(text)
        # Each worker counts the units of all, and the one that looked last knows most.
        if counts and (stage.counts is None or counts.num_done >= stage.counts.num_done):
            stage.counts = counts
        gain = read_gain(text)
        if stage.counts and gain is not None and (not stage.gains or gain > stage.gains[-1].points):
            stage.gains.append(Gain(stage.counts.num_done, gain))
        stage.text = text
        self.workers[worker] = WorkerStatus(stage=stage_name, text=text, at=now)
        return counts

    def end(self, state: str, *, now: float, message: str = "") -> None:
        """Record the end of the invocation."""
        self.state, self.message, self.ended_at = state, message, now
        if state == FINISHED:
            for stage in self.stages:
                stage.ended_at = now if stage.ended_at is None else stage.ended_at

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON values, from which ``from_json`` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the status that ``to_json`` wrote.

        Raises:
            KeyError: If a value is missing.
            TypeError: If a value has the wrong type.
        """
        stages = [
            StageStatus(
                **{
                    **each,
                    "counts": Counts(*each["counts"]) if each["counts"] else None,
                    "gains": [Gain(*gain) for gain in each.get("gains", [])],
                }
            )
            for each in values["stages"]
        ]
        workers = {int(index): WorkerStatus(**each) for index, each in values["workers"].items()}
        return cls(**{**values, "stages": stages, "workers": workers})

    def _stage(self, name: str) -> StageStatus:
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            # A stage that the route does not list, such as a check before the first one.
            found = StageStatus(name=name)
            self.stages.insert(sum(stage.started_at is not None for stage in self.stages), found)
        return found


def _share(stage: str) -> float:
    return _LONG_SHARE if stage in _LONG_STAGES else _SHARES.get(stage, 1.0)
