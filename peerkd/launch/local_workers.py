"""The workers of a stage, as processes on this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, NoReturn

from peerkd.config.cluster import ClusterConfig
from peerkd.cores import NUM_CORES_VARIABLE, count_cores
from peerkd.errors import StageFailedError
from peerkd.launch.exit_codes import (
    ERROR_FILE_VARIABLE,
    EXIT_USER_ERROR,
    RUNNER_PID_VARIABLE,
    TERMINATION_LOG_VARIABLE,
    read_error_file,
    reserve_error_file,
)
from peerkd.launch.gpus import GPUS_VARIABLE, gpus_of, visible_gpus
from peerkd.launch.order import JobAccount, StageOrder
from peerkd.launch.torchrun import ENDPOINT_VARIABLE
from peerkd.launch.worker import NUM_WORKERS_VARIABLE, WORKER_INDEX_VARIABLE
from peerkd.metrics.progress import LINE_PREFIX, mark_worker
from peerkd.system_errors import translate_output

_NUM_SHOWN_LINES: Final = 40
_INTERVAL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 10.0
"""The time that a worker has to save its work after another worker has failed."""


class LocalWorkers:
    """The backend that runs workers as processes on this machine.

    Of the settings for a cluster, it uses only the number of workers. Settings such as memory limits have no effect.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self._num_workers = cluster.num_workers

    def run(self, order: StageOrder) -> Sequence[JobAccount]:
        """Run the order's command line in each worker, wait for all of them, and relay their output.

        If a worker fails, the others are ended before the error is raised.

        Raises:
            ValueError: If a worker found an error that the user can fix.
            StageFailedError: If a worker failed for another reason.
        """
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
            workers: list[_LocalWorker] = []
            try:
                for index, environment in enumerate(self._environments(order)):
                    error_file = Path(folder, f"error-{index}.json")
                    reserve_error_file(error_file)
                    workers.append(_LocalWorker(order, index, self._num_workers, environment, error_file))
                failed = _wait(workers)
            finally:
                _end(workers)
            if failed:
                failed.raise_error()
        return [
            JobAccount(
                name="local",
                seconds=time.monotonic() - started,
                num_workers=self._num_workers,
                gpus_per_worker=len(gpus_of(order.config_json)) / self._num_workers,
            )
        ]

    def _environments(self, order: StageOrder) -> list[dict[str, str]]:
        shared = {
            # A worker ends when this process ends.
            RUNNER_PID_VARIABLE: str(os.getpid()),
            # Only this process writes the termination message of its container.
            TERMINATION_LOG_VARIABLE: os.devnull,
            "PYTHONUNBUFFERED": "1",
            NUM_WORKERS_VARIABLE: str(self._num_workers),
        }
        if order.num_processes > 1 and self._num_workers > 1:
            shared[ENDPOINT_VARIABLE] = f"localhost:{_free_port()}"
        own: list[dict[str, str]] = [{WORKER_INDEX_VARIABLE: str(index)} for index in range(self._num_workers)]
        if self._num_workers > 1:
            gpus = visible_gpus()
            for index, each in enumerate(own):
                each[NUM_CORES_VARIABLE] = str(_share(count_cores(), index, self._num_workers))
                if gpus:
                    each[GPUS_VARIABLE] = ",".join(gpus[index :: self._num_workers] or [gpus[index % len(gpus)]])
        return [{**os.environ, **shared, **each} for each in own]


class _LocalWorker:
    """The process of one worker."""

    def __init__(
        self, order: StageOrder, index: int, num_workers: int, environment: dict[str, str], error_file: Path
    ) -> None:
        self._stage, self._index, self._error_file = order.stage, index, error_file
        # With several workers, each progress line begins with the worker's index.
        self._mark = f"{LINE_PREFIX} {order.stage}: ", mark_worker(index) if num_workers > 1 else ""
        self._kept: deque[str] = deque(maxlen=_NUM_SHOWN_LINES)
        _, *arguments = order.command()
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**environment, ERROR_FILE_VARIABLE: str(error_file)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert self.process.stdout is not None
        self._relay = threading.Thread(target=self._pass_on, args=(self.process.stdout,), daemon=True)
        self._relay.start()

    def close(self) -> None:
        """Wait for the last output of an ended process."""
        self._relay.join(timeout=_GRACE_SECONDS)

    def raise_error(self) -> NoReturn:
        """Raise the error that ended the process."""
        reported = read_error_file(self._error_file)
        if reported:
            message, exit_code = reported
            raise (ValueError if exit_code == EXIT_USER_ERROR else StageFailedError)(message)
        code = self.process.returncode
        how = (
            f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code} and without an error message"
        )
        lines = "\n".join(self._kept)
        raise translate_output(lines) or StageFailedError(
            f"Worker {self._index} of {self._stage} {how}; its last lines were:\n{lines}"
        )

    def _pass_on(self, lines: IO[str]) -> None:
        prefix, mark = self._mark
        with lines:
            for line in lines:
                if not line.startswith(LINE_PREFIX):
                    self._kept.append(line.rstrip())
                shown = line.replace(prefix, prefix + mark, 1) if line.startswith(prefix) else line
                # Output that cannot be shown must not stop the worker, which waits until this thread reads on.
                with suppress(OSError):
                    sys.stdout.write(shown)
                    sys.stdout.flush()


def _wait(workers: Sequence[_LocalWorker]) -> _LocalWorker | None:
    """Wait until all workers have succeeded, or return the first one that has failed."""
    while True:
        codes = [worker.process.poll() for worker in workers]
        for worker, code in zip(workers, codes, strict=True):
            if code:
                return worker
        if None not in codes:
            return None
        time.sleep(_INTERVAL_SECONDS)


def _end(workers: Sequence[_LocalWorker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for worker in workers:
        try:
            worker.process.wait(timeout=max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
        worker.close()


def _share(total: int, index: int, num_workers: int) -> int:
    return max(1, total // num_workers + (index < total % num_workers))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port: int = listener.getsockname()[1]
        return port
