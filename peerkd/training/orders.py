"""What processes that share one training are told to do, as a file; and how they tell of it. No torch."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from peerkd.config.pcl import PclConfig, Run
from peerkd.training.inputs import RunInputs

NEWS_PREFIX: Final = "peerkd-news "
"""Starts a line that a process prints; JSON follows: a kind and its value.

``epoch``: number of epochs finished, samples of an epoch, what was measured. ``done``: the run's record. ``refused``:
what the user can fix. ``failed``: what failed outside.
"""

_FOLDERS: Final = ("dataset_folder", "split_folder", "networks_folder", "checkpoints_folder")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOrder:
    """One run for several processes."""

    inputs: RunInputs
    run: Run | None
    """None for processes that join others who know."""

    starter_pid: int
    """The process that orders the run; those that do it end with it."""

    @classmethod
    def of(cls, inputs: RunInputs, run: Run | None) -> Self:
        """Return the order that this process gives."""
        return cls(inputs=inputs, run=run, starter_pid=os.getpid())

    @property
    def of_run(self) -> Run:
        """The run, where it is known."""
        assert self.run is not None
        return self.run

    def write(self, path: Path) -> None:
        """Write the file that ``read`` reads."""
        values = {
            "config": self.inputs.config.to_json(),
            "device": self.inputs.device,
            "run": self.run and list(self.run),
            "starter_pid": self.starter_pid,
            **{name: str(getattr(self.inputs, name)) for name in _FOLDERS},
        }
        path.write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        inputs = RunInputs(
            config=PclConfig.from_json(values["config"]),
            device=values["device"],
            **{name: Path(values[name]) for name in _FOLDERS},
        )
        return cls(inputs=inputs, run=Run(*values["run"]) if values["run"] else None, starter_pid=values["starter_pid"])
