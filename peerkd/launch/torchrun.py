"""One training in several processes, which torchrun starts on one machine or on all workers of a job."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from peerkd.errors import WorkerDiedError
from peerkd.launch.worker import Worker

ENDPOINT_VARIABLE: Final = "PET_RDZV_ENDPOINT"
"""The environment variable with the host and the port of the first worker. The launcher sets it; torchrun reads it
too."""

_NUM_SHOWN_LINES: Final = 60
"""How many of the last output lines an error message shows. Many are needed, as torchrun ends with a long report."""

_RENDEZVOUS_SECONDS: Final = 900
"""The time for which the workers wait for each other. Their machines may have to be started first."""

_KILLED: Final = re.compile(r"exitcode\s*:\s*-\d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendezvous:
    """The address at which the workers of a job meet, if their processes train one network together.

    The address is that of the first worker.
    """

    host: str
    port: int
    index: int
    num_workers: int

    @classmethod
    def of(cls, worker: Worker, environment: Mapping[str, str] | None = None) -> Self | None:
        """Return the address at which a worker meets the other workers; None if there are no other workers.

        Raises:
            ValueError: If the environment does not specify the host and the port.
        """
        if worker.is_alone:
            return None
        endpoint = (os.environ if environment is None else environment).get(ENDPOINT_VARIABLE, "")
        host, _, port = endpoint.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"{ENDPOINT_VARIABLE} must be HOST:PORT of the first worker, got {endpoint!r}.")
        return cls(host=host, port=int(port), index=worker.index, num_workers=worker.num_workers)


def wait_for_host(rendezvous: Rendezvous, *, is_over: Callable[[], bool], interval_seconds: float = 0.5) -> bool:
    """Return True once the first worker accepts connections, or False if ``is_over`` returns True before that."""
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
) -> Generator[Any, None, None]:
    """Run a module in processes that torchrun connects, and yield the messages of the processes on this machine.

    Args:
        module: The module, run as ``python -m MODULE ARGUMENT`` in each process.
        argument: The path that each process receives as its command-line argument.
        num_processes: The number of processes, counted over all workers.
        news_prefix: The beginning of output lines that are messages; the rest of such a line is JSON.
        rendezvous: The address at which the workers meet; None if all processes are on this machine. Rank 0 is on the
            first worker.

    Returns:
        An iterator over the messages. It ends when all processes on this machine have ended.

    Raises:
        WorkerDiedError: If a process fails; the message ends with the last lines that were printed.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--max-restarts=0"),
        *_placement(num_processes, rendezvous),
        *("-m", module, str(argument)),
    ]
    # The command line above replaces these variables, which torchrun would read.
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
            # The caller has stopped reading.
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
    # The static rendezvous is used, because c10d numbers the workers as they arrive. Rank 0 writes the files, so it
    # must be on the first worker.
    return [
        "--rdzv-backend=static",
        f"--rdzv-conf=timeout={_RENDEZVOUS_SECONDS}",
        f"--master-addr={rendezvous.host}",
        f"--master-port={rendezvous.port}",
        f"--nnodes={rendezvous.num_workers}",
        f"--node-rank={rendezvous.index}",
        f"--nproc-per-node={num_processes // rendezvous.num_workers}",
    ]
