"""One of the processes that torchrun starts for a run: ``python -m peerkd.training.online.processes FILE``.

The file is a ``RunOrder``. The leading process says which run it is and prints the news, and each its errors: one line
of JSON behind ``NEWS_PREFIX``.
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
from peerkd.training.inputs import RunDone
from peerkd.training.memory import keep_freed_memory
from peerkd.training.online.group import join_group, leave_group
from peerkd.training.online.runs import open_runs
from peerkd.training.orders import NEWS_PREFIX, RunOrder


def main(order_path: Path) -> int:
    """Do the run as one of its processes, and return the exit code."""
    order = RunOrder.read(order_path)
    # torchrun outlives whoever started it.
    end_with(order.starter_pid)
    torch.set_num_threads(1)
    keep_freed_memory()
    group, device = join_group(order.inputs.device)
    try:
        run = Run(*json.loads(group.share(json.dumps(order.run).encode())))
        for news in open_runs(order.inputs, device=device, group=group)(run):
            if group.leads:
                if isinstance(news, RunDone):
                    _tell("done", news.record)
                else:
                    _tell("epoch", news[1:])
    except ValueError as error:
        _tell("refused", str(error))
        return 1
    except PeerKDError as error:
        _tell("failed", str(error))
        return 1
    except Exception as error:
        refusal = translate(error)
        if refusal is None:
            raise
        _tell("refused" if isinstance(refusal, ValueError) else "failed", str(refusal))
        return 1
    leave_group()
    return 0


def _tell(kind: str, value: Any) -> None:
    sys.stdout.write(f"{NEWS_PREFIX}{json.dumps([kind, value])}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
