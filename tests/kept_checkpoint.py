"""The processes of a run, which keep a copy of the checkpoint of a moment within an epoch.

The program has the arguments of ``peerkd.training.online.processes``.
"""

import shutil
import sys
from pathlib import Path

from torch import Tensor

from peerkd.training.online import processes
from peerkd.training.online.state import TrainingState

NUM_STEPS = 14


def kept_path(checkpoint: Path) -> Path:
    """Return the path of the copy."""
    return checkpoint.with_suffix(".kept")


def save_and_copy(state: TrainingState, path: Path, *, sums_of_processes: Tensor | None = None) -> None:
    """Write a checkpoint, and copy it at the moment."""
    save(state, path, sums_of_processes=sums_of_processes)
    if state.num_steps == NUM_STEPS:
        shutil.copy(path, kept_path(path))


if __name__ == "__main__":
    save = TrainingState.save
    TrainingState.save = save_and_copy  # type: ignore[method-assign]
    sys.exit(processes.main(Path(sys.argv[1])))
