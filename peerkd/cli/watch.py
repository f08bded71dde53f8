"""``peerkd watch`` and ``peerkd logs``: the progress of a run on this machine, and what the run has printed."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import typer

from peerkd.cli.live import can_move_cursor, console_of, live_view, view_of
from peerkd.cli.run_facts import RunFacts, facts_of
from peerkd.excerpt import plain_path, start_of
from peerkd.launch.invocations.files import Invocation, find_invocations, list_invocations, split_log_line
from peerkd.launch.invocations.status import FAILED, FINISHED, INTERRUPTED, RUNNING, STOPPED

EXIT_INTERRUPTED: Final = 5
"""The exit code of a watch that Ctrl-C has ended before the run."""

EXIT_CODES: Final = {FINISHED: 0, FAILED: 1, INTERRUPTED: 3, STOPPED: 3, RUNNING: 4}
"""The exit code for each state in which ``peerkd watch`` ends. Runs on Kubeflow Pipelines have the same exit codes."""

_INTERVAL_SECONDS: Final = 0.5


def started_from(output: Path | None) -> Path:
    """Return the folder that contains the invocations of runs.

    Raises:
        ValueError: If the path is not a folder.
    """
    folder = output or Path("runs")
    if not folder.is_dir():
        raise ValueError(
            f"output must be a folder in which runs were started, got {plain_path(str(folder))}{start_of(folder)}."
        )
    return folder


class WatchedRun:
    """A run of this machine that is watched. If the run is started again, its new invocation is watched."""

    def __init__(self, output: Path, text: str) -> None:
        """Find the run.

        Args:
            output: The folder that was given as ``--output`` when the run was started.
            text: The name of the run.

        Raises:
            ValueError: If the text does not name exactly one run of the folder.
        """
        self._output = output
        self._invocation = find_invocations(list_invocations(output), text)[0]

    def latest(self) -> Invocation:
        """Return the last invocation of the run, as its files describe it now."""
        present = Invocation.read(self._invocation.folder) or self._invocation
        self._invocation = next((each for each in list_invocations(self._output) if _same_run(each, present)), present)
        return self._invocation

    def facts(self) -> RunFacts:
        """Return the present facts about the run."""
        return _facts(self.latest())


def watch_here(
    output: Path, text: str, *, timeout_seconds: float | None, wait: Callable[[float], None] = time.sleep
) -> int:
    """Show a run until it ends, and return the exit code.

    In a terminal, the view is redrawn. Elsewhere, the lines of the log are printed as they come.

    Args:
        output: The folder that was given as ``--output`` when the run was started.
        text: The name of the run.
        timeout_seconds: The time after which to stop watching; None for no limit.
        wait: A function that waits for a number of seconds.

    Raises:
        ValueError: If the text does not name exactly one run of the folder.
    """
    watched = WatchedRun(output, text)
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    invocation = watched.latest()

    def invocations() -> Iterator[Invocation]:
        nonlocal invocation
        while True:
            invocation = watched.latest()
            yield invocation
            if invocation.state != RUNNING or (end is not None and time.monotonic() >= end):
                return
            wait(_INTERVAL_SECONDS)

    try:
        if can_move_cursor(sys.stdout):
            console = console_of(sys.stdout)
            with live_view(console, lambda: view_of(_facts(invocation), width=console.width)) as live:
                for _ in invocations():
                    live.refresh()
            console.print(view_of(_facts(invocation), width=console.width))
        else:
            _print_lines(invocations())
            typer.echo(f"{invocation.title}: {invocation.state}")
    except KeyboardInterrupt:
        return _interrupted(watched)
    return EXIT_CODES[invocation.state]


def watch_on_page(
    output: Path,
    text: str,
    *,
    port: int,
    timeout_seconds: float | None,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Show a run on a page of this machine until Ctrl-C or the timeout, and return the exit code.

    Args:
        output: The folder that was given as ``--output`` when the run was started.
        text: The name of the run.
        port: The port of the page; 0 for a free one.
        timeout_seconds: The time after which to stop; None for no limit.
        wait: A function that waits for a number of seconds.

    Raises:
        ValueError: If the text does not name exactly one run of the folder, or the port cannot be opened.
    """
    # Imported here because the other views need no server.
    from peerkd.cli.watch_page import serving

    watched = WatchedRun(output, text)
    end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    with serving(watched.facts, port=port) as address:
        typer.echo(address)
        typer.echo(f"peerkd: the page shows {watched.latest().title} until Ctrl-C.", err=True)
        try:
            while end is None or time.monotonic() < end:
                wait(_INTERVAL_SECONDS)
        except KeyboardInterrupt:
            return _interrupted(watched)
    return EXIT_CODES[watched.latest().state]


def _interrupted(watched: WatchedRun) -> int:
    """Return the exit code of a watch that Ctrl-C has ended, and say if the run goes on."""
    invocation = watched.latest()
    if invocation.state != RUNNING:
        return EXIT_CODES[invocation.state]
    typer.echo(f"peerkd: no longer watching {invocation.title}, which continues.", err=True)
    return EXIT_INTERRUPTED


def show_logs(
    output: Path,
    text: str,
    *,
    follow: bool,
    as_json: bool,
    tail: int | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Print what the invocations of a run have printed, with the time of each line.

    Args:
        output: The folder that was given as ``--output`` when the run was started.
        text: The name of the run.
        follow: Wait for further lines until the run ends.
        as_json: Print each line as a JSON object with ``at``, ``stage``, ``text`` and ``invocation``.
        tail: How many of the existing lines are printed, counted from the last line back; None for all.
        wait: A function that waits for a number of seconds.

    Raises:
        ValueError: If the text does not name exactly one run of the folder.
    """
    found = find_invocations(list_invocations(output), text)
    num_skipped = max(0, sum(map(_num_lines, found)) - tail) if tail is not None else 0
    for invocation in reversed(found):
        may_grow = follow and invocation is found[0]
        with invocation.log.open(encoding="utf-8", errors="replace") as log:
            while True:
                # The state is read before the lines, so that the last lines of an invocation are not missed.
                has_ended = not may_grow or _read_again(invocation).state != RUNNING
                for line in log:
                    if num_skipped:
                        num_skipped -= 1
                        continue
                    typer.echo(_as_json(line, invocation) if as_json else line.rstrip("\n"))
                if has_ended:
                    break
                wait(_INTERVAL_SECONDS)


def _num_lines(invocation: Invocation) -> int:
    with invocation.log.open(encoding="utf-8", errors="replace") as log:
        return sum(1 for _ in log)


def _read_again(invocation: Invocation) -> Invocation:
    return Invocation.read(invocation.folder) or invocation


def _as_json(line: str, invocation: Invocation) -> str:
    at, stage, text = split_log_line(line)
    return json.dumps({"at": at, "stage": stage or None, "text": text, "invocation": invocation.folder.name})


def _same_run(one: Invocation, other: Invocation) -> bool:
    return one.folder == other.folder or (one.run_key is not None and one.run_key == other.run_key)


def _facts(invocation: Invocation) -> RunFacts:
    return facts_of(invocation.status, title=invocation.title, state=invocation.state, now=time.time())


def _print_lines(invocations: Iterator[Invocation]) -> None:
    """Print the new lines of each invocation in turn."""
    folder, num_shown = None, 0
    for invocation in invocations:
        if invocation.folder != folder:
            folder, num_shown = invocation.folder, 0
        # A run prints few lines, so the whole log is read each time.
        lines = invocation.log.read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines[num_shown:]:
            typer.echo(line)
        num_shown = len(lines)
