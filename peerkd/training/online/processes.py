"""The program of each process that torchrun starts for a run: ``python -m peerkd.training.online.processes FILE``.

The file contains a ``RunRequest``. Each event is one line of JSON behind ``EVENT_PREFIX``: the leading process prints
the events of the run, and every process prints its own errors.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from peerkd.config.pcl import Run
from peerkd.errors import PeerKDError
from peerkd.lifeline import end_with
from peerkd.system_errors import translate
from peerkd.training.cpu import keep_freed_memory
from peerkd.training.inputs import RunDone
from peerkd.training.online.group import join_group, leave_group
from peerkd.training.online.runs import open_runs
from peerkd.training.run_request import EVENT_PREFIX, RunRequest


def main(request_path: Path) -> int:
    """Take part in the run that a request file describes, as one of its processes, and return the exit code."""
    request = RunRequest.read(request_path)
    # torchrun outlives the process that started it.
    end_with(request.starter_pid)
    torch.set_num_threads(1)
    keep_freed_memory()
    group, device = join_group(request.inputs.device)
    try:
        run = Run(*json.loads(group.share(json.dumps(request.run).encode())))
        for event in open_runs(request.inputs, device=device, group=group)(run):
            if group.is_leader:
                if isinstance(event, RunDone):
                    _emit("done", event.record)
                else:
                    _emit("epoch", event[1:])
    except ValueError as error:
        _emit("refused", str(error))
        return 1
    except PeerKDError as error:
        _emit("failed", str(error))
        return 1
    except Exception as error:
        refusal = translate(error)
        if refusal is None:
            raise
        _emit("refused" if isinstance(refusal, ValueError) else "failed", str(refusal))
        return 1
    leave_group()
    return 0


def _emit(kind: str, value: Any) -> None:
    sys.stdout.write(f"{EVENT_PREFIX}{json.dumps([kind, value])}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
