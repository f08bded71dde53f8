"""The request for a run in several processes, and the format of the events that they print. This needs no torch."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from peerkd.config.pcl import PclConfig, Run
from peerkd.training.inputs import RunInputs

EVENT_PREFIX: Final = "peerkd-news "
"""The prefix of a line that a process prints. The rest of the line is JSON: the kind of the event and its value.

``epoch``: the number of finished epochs, the samples of an epoch, and the measurements. ``done``: the run's record.
``refused``: a message about something that the user can fix. ``failed``: a message about a failure outside.
"""

_FOLDERS: Final = ("dataset_folder", "split_folder", "networks_folder", "checkpoints_folder")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """A request for one run in several processes."""

    inputs: RunInputs
    run: Run | None
    """The run. Only the first worker knows it. It is None in the request of another worker, whose processes
    receive the run from the leading process."""

    starter_pid: int
    """The id of the process that starts the processes of the run. When it ends, the processes of the run end too."""

    @classmethod
    def of(cls, inputs: RunInputs, run: Run | None) -> Self:
        """Return a request from this process, whose id becomes ``starter_pid``."""
        return cls(inputs=inputs, run=run, starter_pid=os.getpid())

    @property
    def known_run(self) -> Run:
        """The run. It must not be None."""
        assert self.run is not None
        return self.run

    def write(self, path: Path) -> None:
        """Write the request to a file."""
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
        """Read a request that ``write`` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        inputs = RunInputs(
            config=PclConfig.from_json(values["config"]),
            device=values["device"],
            **{name: Path(values[name]) for name in _FOLDERS},
        )
        return cls(inputs=inputs, run=Run(*values["run"]) if values["run"] else None, starter_pid=values["starter_pid"])
