"""Several processes for one training, on one machine or on all workers of a job: torchrun and what it prints."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from peerkd.errors import WorkerDiedError
from peerkd.launch.worker import Worker

ENDPOINT_VARIABLE: Final = "PET_RDZV_ENDPOINT"
"""Host and port of the first worker, set by the program that starts the workers. torchrun reads it, too."""

_NUM_SHOWN_LINES: Final = 60
"""torchrun's own account of a failure comes last and is long."""

_RENDEZVOUS_SECONDS: Final = 900
"""How long those who are there wait for the others, whose machines may have to come first."""

_KILLED: Final = re.compile(r"exitcode\s*:\s*-\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendezvous:
    """The rendezvous of the workers of a job whose processes share one training. The first worker is the host."""

    host: str
    port: int
    index: int
    num_workers: int

    @classmethod
    def of(cls, worker: Worker, environment: Mapping[str, str] | None = None) -> Self | None:
        """Return where a worker meets the others; None if it is alone.

        Raises:
            ValueError: If the environment does not say where.
        """
        if worker.is_alone:
            return None
        endpoint = (os.environ if environment is None else environment).get(ENDPOINT_VARIABLE, "")
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{ENDPOINT_VARIABLE} must be HOST:PORT of the first worker, got {endpoint!r}.")
        return cls(host=host, port=int(port), index=worker.index, num_workers=worker.num_workers)


def wait_for_host(rendezvous: Rendezvous, *, is_over: Callable[[], bool], interval_seconds: float = 0.5) -> bool:
    """Return True as soon as the first worker's processes can be met, or False when there is nothing more to do."""
    while not is_over():
        try:
            socket.create_connection((rendezvous.host, rendezvous.port), timeout=5).close()
        except OSError:
            time.sleep(interval_seconds)
        else:
            return True
    return False


def run_processes(
    module: str, argument: Path, *, num_processes: int, news_prefix: str, rendezvous: Rendezvous | None = None
) -> Iterator[Any]:
    """Run a module in processes that torchrun connects, and yield the news that those on this machine print.

    Args:
        module: Run as ``python -m MODULE ARGUMENT`` in each process.
        argument: A file.
        num_processes: On all workers together.
        news_prefix: Starts the lines that are news; JSON follows.
        rendezvous: Where the workers meet; None if all processes are on this machine. Rank 0 is the first worker's.

    Raises:
        WorkerDiedError: If a process fails; the message ends with the last lines that were printed.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--max-restarts=0"),
        *_placement(num_processes, rendezvous),
        *("-m", module, str(argument)),
    ]
    # All that torchrun would read from there is said above.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PET_")}
    kept: deque[str] = deque(maxlen=_NUM_SHOWN_LINES)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
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
            "were:\n" + "\n".join(kept),
            was_killed=process.returncode < 0 or any(_KILLED.search(line) for line in kept),
        )


def _placement(num_processes: int, rendezvous: Rendezvous | None) -> list[str]:
    if rendezvous is None:
        return ["--standalone", f"--nproc-per-node={num_processes}"]
    # Not c10d, which numbers the workers as they come: what is written is written where rank 0 is.
    return [
        "--rdzv-backend=static",
        f"--rdzv-conf=timeout={_RENDEZVOUS_SECONDS}",
        f"--master-addr={rendezvous.host}",
        f"--master-port={rendezvous.port}",
        f"--nnodes={rendezvous.num_workers}",
        f"--node-rank={rendezvous.index}",
        f"--nproc-per-node={num_processes // rendezvous.num_workers}",
    ]
