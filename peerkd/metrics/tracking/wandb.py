"""The adapter of Weights & Biases. No other module imports its library.

Its own environment variables decide where the run goes, such as WANDB_PROJECT, WANDB_API_KEY and WANDB_MODE.
"""

import os
from collections.abc import Mapping

import wandb

from peerkd.metrics.tracking.sinks import TrackedRun


class WandbSink:
    """One run of Weights & Biases, to which all stages and attempts add."""

    def __init__(self, run: TrackedRun) -> None:
        if run.folder is not None:
            run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "peerkd"),
            id=run.name,
            name=run.name,
            resume="allow",
            config=dict(run.config),
            dir=run.folder,
            settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True),
        )
        # The steps of W&B count over all curves, so each stage has steps of its own.
        self._step_name = f"{run.stage}/step"
        self._run.define_metric(f"{run.stage}/*", step_metric=self._step_name)

    def log_scalar(self, name: str, value: float, *, step: int) -> None:
        """Add a point to a curve."""
        self._run.log({name: value, self._step_name: step})

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Record the headline numbers in the run's summary."""
        self._run.summary.update(dict(values))

    def close(self) -> None:
        """Send what is not sent yet, and end the process of W&B."""
        self._run.finish()


def open_run(run: TrackedRun) -> WandbSink:
    """Return the sink of a stage."""
    return WandbSink(run)
