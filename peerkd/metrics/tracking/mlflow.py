"""The adapter of MLflow. No other module imports its library.

The run is on the server that MLFLOW_TRACKING_URI names, or else in files. All stages and attempts add to one run.
"""

import os
import time
from collections.abc import Mapping
from typing import Final

from mlflow.entities import Metric, Param, Run
from mlflow.tracking import MlflowClient

from peerkd.metrics.tracking.sinks import MLFLOW_URI_VARIABLE, TrackedRun

_EXPERIMENT: Final = "peerkd"
_TAG: Final = "peerkd.run"
_MAX_VALUE_CHARACTERS: Final = 500
_MAX_PARAMS: Final = 100
"""The number of parameters that MLflow takes at once."""


class MlflowSink:
    """One run of MLflow, which is created by the first stage and found by the others."""

    def __init__(self, run: TrackedRun) -> None:
        self._client = MlflowClient(_address(run))
        found = self._client.get_experiment_by_name(_EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(_EXPERIMENT)
        runs = self._client.search_runs([experiment], f"tags.`{_TAG}` = '{run.name}'", max_results=1)
        mine: Run = runs[0] if runs else self._client.create_run(experiment, run_name=run.name, tags={_TAG: run.name})
        self._id = mine.info.run_id
        if not runs:
            params = [Param(name, str(value)[:_MAX_VALUE_CHARACTERS]) for name, value in run.config.items()]
            for start in range(0, len(params), _MAX_PARAMS):
                self._client.log_batch(self._id, params=params[start : start + _MAX_PARAMS])

    def log_scalar(self, name: str, value: float, *, step: int) -> None:
        """Add a point to a curve."""
        self._client.log_metric(self._id, name, value, step=step)

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Record the headline numbers, and end the run."""
        now = int(1000 * time.time())
        self._client.log_batch(
            self._id, metrics=[Metric(f"summary/{name}", value, now, 0) for name, value in values.items()]
        )
        self._client.set_terminated(self._id)

    def close(self) -> None:
        """Do nothing, because every value has been written."""


def _address(run: TrackedRun) -> str:
    if address := os.environ.get(MLFLOW_URI_VARIABLE):
        return address
    assert run.folder is not None, "check_sinks refuses a run without a folder"
    # MLflow refuses new stores of files unless it is told that they are meant.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return (run.folder / "mlruns").absolute().as_uri()


def open_run(run: TrackedRun) -> MlflowSink:
    """Return the sink of a stage."""
    return MlflowSink(run)
