"""The table of sinks: the name, the module of the library, and the extra that installs it."""

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

SINKS: Final[Mapping[str, str]] = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}
"""The module of the library that each sink needs, by the name of the sink. The extra has the same name."""

FOLDER_VARIABLE: Final = "PEERKD_TRACKING_FOLDER"
"""The environment variable with the folder for the files of sinks. Without it, they are in ``tracking`` in the folder
of the store."""

MLFLOW_URI_VARIABLE: Final = "MLFLOW_TRACKING_URI"
"""MLflow's own environment variable with the address of its server. Without it, MLflow writes files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedRun:
    """A run as a sink sees it. All stages and all attempts of a run pass the same name to the sink."""

    name: str
    stage: str
    config: Mapping[str, Any]
    """The values of the config by dotted name."""

    folder: Path | None
    """The folder for files, or None if there is none."""


class Sink(Protocol):
    """A receiver of the measurements of one stage of a run."""

    def log_scalar(self, name: str, value: float, *, step: int) -> None:
        """Add a point to a curve."""

    def log_summary(self, values: Mapping[str, float]) -> None:
        """Record the headline numbers of the finished run."""

    def close(self) -> None:
        """Write what is not written yet."""


def check_sinks(names: Sequence[str], *, folder: Path | None) -> None:
    """Check that this environment has what sinks need, without importing any of it.

    Args:
        names: The names of the sinks.
        folder: The folder for files.

    Raises:
        ValueError: If a package is missing, or a sink that writes files has no folder.
    """
    for name in names:
        if find_spec(SINKS[name]) is None:
            raise ValueError(
                f"compute.tracking: {name} needs the package {SINKS[name]}, which this environment lacks; install the "
                f"extra with pip install 'peerkd[{name}]'."
            )
        writes_files = name == "tensorboard" or (name == "mlflow" and not os.environ.get(MLFLOW_URI_VARIABLE))
        if folder is None and writes_files:
            or_address = f", or {MLFLOW_URI_VARIABLE} the address of a server" if name == "mlflow" else ""
            raise ValueError(
                f"compute.tracking: {name} writes files, so {FOLDER_VARIABLE} must name a folder when the store is not "
                f"a folder{or_address}."
            )


def tracking_folder(store_folder: Path | None) -> Path | None:
    """Return the folder for the files of sinks, or None if neither the environment nor the store gives one.

    Args:
        store_folder: The folder of the store, or None if the store is elsewhere.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    return None if store_folder is None else store_folder / "tracking"


def open_sink(name: str, run: TrackedRun) -> Sink:
    """Import the library of a sink, and return the sink."""
    sink: Sink = importlib.import_module(f"peerkd.metrics.tracking.{name}").open_run(run)
    return sink
