"""The files of an invocation, in ``invocations/<time>-<microseconds>-<process>/`` of the folder of ``--output``.

``log.txt`` contains each line with its time. ``status.json`` contains the current status and is replaced about once a
second. ``process.json`` identifies the process of the invocation. ``run.json`` contains the key and the name of the run
and is written by the first stage of the run. The process of the invocation locks the file ``lock`` until the process
ends, for whatever reason. From the lock, another process can tell whether the invocation is still running.
"""

import fcntl
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from peerkd.artifacts.open import canonical_address
from peerkd.errors import DataSourceError
from peerkd.excerpt import plain
from peerkd.launch.invocations.process import ProcessIdentity
from peerkd.launch.invocations.status import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    RUNNING,
    STOPPED,
    InvocationStatus,
    StageStatus,
)

FOLDER_VARIABLE: Final = "PEERKD_INVOCATION"
"""The environment variable that names the folder of the invocation to the tasks of a pipeline."""

LATEST: Final = "latest"
"""The word that a user can give in place of a name. It stands for the run that began last."""

FOLDER: Final = "invocations"
LOG_NAME: Final = "log.txt"
_STATUS_NAME: Final = "status.json"
_RUN_NAME: Final = "run.json"
_PROCESS_NAME: Final = "process.json"
_LOCK_NAME: Final = "lock"

_NUM_DIGITS: Final = 4
"""How many digits of the hash in the key of a run the title of an invocation shows."""
_STATUS_SECONDS: Final = 1.0
_LOGGED_COUNTS_SECONDS: Final = 30.0
"""The minimum time between two lines of the log that report how many units of a stage are finished. More frequent
reports appear only in the status."""

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Invocation:
    """An invocation, as its files describe it."""

    folder: Path
    status: InvocationStatus
    run_key: str | None
    """The key of the record of the run. None if the run has not published its record."""

    run_name: str
    """The name of the run with all digits of its key. Before the run is recorded, it is the name of the experiment."""

    process: ProcessIdentity | None = None
    """The process that executes the run. None if an earlier version of the program did not record it."""

    @property
    def title(self) -> str:
        """The name of the run with the first digits of its key, as ``peerkd runs`` shows it."""
        digits = (self.run_key or "").partition("/")[2]
        return self.run_name.removesuffix(digits) + digits[:_NUM_DIGITS]

    @property
    def log(self) -> Path:
        """The file with the lines of the invocation."""
        return self.folder / LOG_NAME

    @property
    def state(self) -> str:
        """The state: ``running``, ``finished``, ``failed``, ``interrupted`` or ``stopped``."""
        if self.status.state == RUNNING and not _is_locked(self.folder / _LOCK_NAME):
            return STOPPED
        return self.status.state

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the invocation of a folder, or None if its files cannot be read."""
        try:
            status = InvocationStatus.from_json(json.loads((folder / _STATUS_NAME).read_text(encoding="utf-8")))
        except _UNREADABLE:
            return None
        run: dict[str, Any] = {}
        with suppress(*_UNREADABLE):
            run = json.loads((folder / _RUN_NAME).read_text(encoding="utf-8"))
        process = None
        with suppress(*_UNREADABLE):
            process = ProcessIdentity.from_json(json.loads((folder / _PROCESS_NAME).read_text(encoding="utf-8")))
        return cls(
            folder=folder,
            status=status,
            run_key=run.get("key"),
            run_name=str(run.get("name", status.experiment)),
            process=process,
        )


def list_invocations(output: Path) -> list[Invocation]:
    """Return the invocations of a folder of ``--output``, the latest first."""
    found = map(Invocation.read, (output / FOLDER).glob("*/"))
    return sorted(filter(None, found), key=lambda invocation: invocation.status.started_at, reverse=True)


def delete_invocations(invocations: Iterable[Invocation]) -> None:
    """Delete the files of invocations."""
    for invocation in invocations:
        shutil.rmtree(invocation.folder, ignore_errors=True)
        with suppress(OSError):
            invocation.folder.parent.rmdir()


def find_invocations(invocations: Sequence[Invocation], text: str) -> list[Invocation]:
    """Return the invocations of the run that the user names, the latest first.

    Args:
        invocations: The invocations of a folder, the latest first.
        text: ``latest``, or the name or the key of a run, or the beginning of one.

    Raises:
        ValueError: If no run or several runs match.
    """
    if not invocations:
        raise ValueError(
            f"RUN must be a run that was started with this folder as its output, which has none, got {plain(text)}."
        )
    if text == LATEST:
        matching = invocations[:1]
    else:
        matching = [each for each in invocations if any(name.startswith(text) for name in _names(each))]
    runs = {each.run_key or str(each.folder): each for each in matching}
    if len(runs) > 1:
        names = ", ".join(each.title for each in runs.values())
        raise ValueError(f"RUN must name one run, got {plain(text)}, which fits {names}.")
    if not runs:
        known = ", ".join(dict.fromkeys(each.title for each in invocations))
        raise ValueError(f"RUN must be one of {LATEST}, {known}, got {plain(text)}.")
    (found,) = runs.values()
    return [each for each in invocations if each.run_key == found.run_key] if found.run_key else [found]


def _names(invocation: Invocation) -> list[str]:
    key = invocation.run_key or ""
    return [invocation.run_name, *filter(None, (key, key.partition("/")[2]))]


def name_run(key: str, *, experiment: str, skew: str) -> None:
    """Write the key and the name of the run into the folder of the invocation to which this process belongs.

    If this process belongs to no invocation, nothing is written.

    Args:
        key: The key of the record of the run.
        experiment: The name of the experiment or study.
        skew: The word in the name of the run that describes the division of the data, such as ``dirichlet0.3``.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and Path(folder).is_dir():
        name = f"{experiment}-{skew}-{key.partition('/')[2]}"
        _replace(Path(folder, _RUN_NAME), {"key": key, "name": name})


class InvocationWriter:
    """Writes the log and the status of an invocation. Several threads may use it."""

    def __init__(self, folder: Path, status: InvocationStatus, *, clock: Callable[[], float] = time.time) -> None:
        self.status, self._folder, self._clock = status, folder, clock
        self._mutex = threading.Lock()
        self._written_at = 0.0
        self._logged_at: dict[str, float] = {}
        self._log = (folder / LOG_NAME).open("a", encoding="utf-8")
        self._write_status()

    def take(self, stage: str, text: str) -> None:
        """Write a line of a stage to the log and the status.

        If the disk is full, the line is lost and the run continues.
        """
        with self._mutex:
            now = self._clock()
            counts = self.status.take(stage, text, now=now)
            with suppress(OSError):
                if (
                    counts is None
                    or counts.num_done >= counts.total
                    or now - self._logged_at.get(stage, 0.0) >= _LOGGED_COUNTS_SECONDS
                ):
                    if counts:
                        self._logged_at[stage] = now
                    self._log.write(f"{_iso(now)} {stage}: {text}\n")
                    self._log.flush()
                if counts is None or now - self._written_at >= _STATUS_SECONDS:
                    self._write_status()

    def end(self, state: str, message: str = "") -> None:
        """Write the end of the invocation, and close its log."""
        with self._mutex, suppress(OSError):
            now = self._clock()
            self.status.end(state, now=now, message=message)
            self._log.write(f"{_iso(now)} {': '.join(filter(None, (state, message)))}\n")
            self._log.close()
            self._write_status()

    def _write_status(self) -> None:
        self._written_at = self._clock()
        _replace(self._folder / _STATUS_NAME, self.status.to_json())


@contextmanager
def invoking(
    output: Path, *, pipeline: str, experiment: str, stages: Sequence[str], store: str | None = None
) -> Iterator[InvocationWriter]:
    """Record the run in the ``with`` block as an invocation.

    A run that is refused before its record exists leaves no files.

    Args:
        output: The folder of ``--output``.
        pipeline: The pipeline and its strategy, in words.
        experiment: The name of the experiment or study.
        stages: The names of the stages of the run, in order.
        store: The address of the store of the run; None if the folder of ``--output`` is the store.
    """
    now = time.time()
    microseconds = round(now % 1 * 1e6)
    folder = (output / FOLDER / f"{_iso(now).replace(':', '')}-{microseconds:06}-{os.getpid()}").absolute()
    new = [each for each in (folder.parent, output) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    status = InvocationStatus(
        pipeline=pipeline,
        experiment=experiment,
        started_at=now,
        stages=[StageStatus(name=name) for name in stages],
        store=canonical_address(str(output) if store is None else store),
    )
    before = os.environ.get(FOLDER_VARIABLE)
    with (folder / _LOCK_NAME).open("a") as lock:
        with suppress(OSError):
            # On a file system without locks, the invocation counts as stopped. The run itself is the same.
            fcntl.flock(lock.fileno(), fcntl.LOCK_SH)
        _replace(folder / _PROCESS_NAME, ProcessIdentity.of_this_process()._asdict())
        writer = InvocationWriter(folder, status)
        os.environ[FOLDER_VARIABLE] = str(folder)
        try:
            yield writer
        except BaseException as error:
            is_interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
            writer.end(INTERRUPTED if is_interrupted else FAILED, "" if is_interrupted else str(error))
            if isinstance(error, ValueError | DataSourceError) and not (folder / _RUN_NAME).exists():
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    for each in new:
                        each.rmdir()
            raise
        else:
            writer.end(FINISHED)
        finally:
            if before is None:
                os.environ.pop(FOLDER_VARIABLE, None)
            else:
                os.environ[FOLDER_VARIABLE] = before


def _is_locked(path: Path) -> bool:
    try:
        with path.open("a") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _replace(path: Path, values: Any) -> None:
    """Write JSON so that a reader sees either the earlier values or the new ones."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(values, indent=1), encoding="utf-8")
    partial.replace(path)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def split_log_line(line: str) -> tuple[str, str, str]:
    """Return the time, the stage and the text of a line of a log. The stage is empty for the end of an invocation."""
    at, _, rest = line.rstrip("\n").partition(" ")
    found = re.match(r"(\w+): ", rest)
    is_end = found is None or found[1] in (FINISHED, FAILED, INTERRUPTED)
    return (at, "", rest) if is_end or found is None else (at, found[1], rest[found.end() :])
