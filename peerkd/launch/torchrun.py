"""Several processes for one training, on this machine: torchrun and what it prints."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from peerkd.errors import WorkerDiedError

_NUM_SHOWN_LINES: Final = 60
"""torchrun's own account of a failure comes last and is long."""


def run_processes(module: str, argument: Path, *, num_processes: int, news_prefix: str) -> Iterator[Any]:
    """Run a module in ``num_processes`` processes that torchrun connects, and yield the news that they print.

    Args:
        module: Run as ``python -m MODULE ARGUMENT`` in each process.
        argument: A file.
        num_processes: On this machine.
        news_prefix: Starts the lines that are news; JSON follows.

    Raises:
        WorkerDiedError: If a process fails; the message ends with the last lines that were printed.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"),
        *("-m", module, str(argument)),
    ]
    kept: deque[str] = deque(maxlen=_NUM_SHOWN_LINES)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(news_prefix):
                    yield json.loads(line.removeprefix(news_prefix))
                else:
                    kept.append(line.rstrip())
        except BaseException:
            # Nobody listens any more.
            process.terminate()
            raise
    if process.returncode:
        raise WorkerDiedError(
            f"A training in {num_processes} processes ended with exit code {process.returncode}; its last lines "
            "were:\n" + "\n".join(kept)
        )
