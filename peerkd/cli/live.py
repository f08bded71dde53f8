"""What the user sees of a run in progress: one bar for the whole run in a terminal, and plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from peerkd.cli.run_facts import RunFacts, facts_of
from peerkd.launch.invocations.files import InvocationWriter
from peerkd.launch.invocations.status import RUNNING
from peerkd.metrics.progress import Counts, split_worker, taking_lines

_MAX_BAR: Final = 40
_NUM_SHOWN_WORKERS: Final = 8
_NO_CURSOR: Final = frozenset({"", "dumb", "unknown"})
"""The values of TERM of terminals that cannot move the cursor."""

_WARNINGS: Final = ("warning", "error")


@contextmanager
def showing(
    invocation: InvocationWriter,
    *,
    verbose: bool,
    quiet: bool,
    can_draw: bool = True,
    on_line: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Show the lines of the stages on stderr during the ``with`` block, and write them to the files of an invocation.

    Args:
        invocation: The invocation.
        verbose: Show every progress line on a line of its own.
        quiet: Show only warnings.
        can_draw: Whether a bar may be drawn. False if stages run in this process, where a bar would disturb a debugger.
        on_line: A function that is called with the name of the stage after each line has been written to the files.
    """

    def record(stage: str, text: str) -> None:
        invocation.take(stage, text)
        if on_line:
            on_line(stage)

    if quiet or verbose or not can_draw or not can_move_cursor(sys.stderr):
        show = _show_warnings if quiet else _show_line

        def take(stage: str, text: str) -> None:
            record(stage, text)
            show(stage, text)

        with taking_lines(take):
            yield
        return
    console = console_of(sys.stderr)

    def summary() -> Group:
        facts = facts_of(invocation.status, title="", state=RUNNING, now=time.time())
        return summary_of(facts, width=console.width)

    with live_view(console, summary) as live:

        def take_and_draw(stage: str, text: str) -> None:
            record(stage, text)
            if Counts.read(split_worker(text)[1]) is None:
                live.console.print(Text(f"{stage}: {text}"), soft_wrap=True)

        with taking_lines(take_and_draw):
            yield


def can_move_cursor(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal in which a bar can be drawn."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in _NO_CURSOR


def console_of(stream: TextIO) -> Console:
    """Return a console that writes to a stream. It has no colours if NO_COLOR is set."""
    return Console(file=stream, highlight=False)


def live_view(console: Console, view: Callable[[], RenderableType]) -> Live:
    """Return a context manager that draws a view four times a second, and removes it at the end."""
    return Live(
        get_renderable=view,
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def summary_of(facts: RunFacts, *, width: int) -> Group:
    """Return the bar of a whole run, and the current stage with its last line.

    Args:
        facts: The facts about the run.
        width: The number of columns of the terminal.
    """
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(facts.pipeline),
        ProgressBar(total=1.0, completed=facts.fraction, width=max(8, min(_MAX_BAR, width - 32))),
        Text(f"{facts.fraction:.0%}"),
        Text(facts.passed),
    )
    if not facts.num_begun:
        return Group(bar, _line("starting"))
    current = f"{facts.num_begun} of {len(facts.stages)}: {facts.stages[facts.num_begun - 1].name}"
    return Group(bar, _line(current), *(_line(f"  {text}") for text in facts.present))


def view_of(facts: RunFacts, *, width: int) -> Group:
    """Return a view of a run: its bar, a line for each stage, and a line for each worker of the current stage.

    Args:
        facts: The facts about the run.
        width: The number of columns of the terminal.
    """
    bar, *_ = summary_of(facts, width=width).renderables
    lines = [f"{facts.title}: {facts.state}", ""]
    for stage in facts.stages:
        if stage.state == "waiting":
            lines.append(f"  {stage.name}")
        else:
            mark = "+" if stage.state == "done" else "*"
            lines.append(f"{mark} {stage.name}: {'; '.join([stage.text, stage.passed])}")
    if len(facts.workers) > 1:
        lines.append("")
        shown = facts.workers[:_NUM_SHOWN_WORKERS]
        lines += [f"worker {worker.index}, {worker.ago} ago: {worker.text}" for worker in shown]
        if len(facts.workers) > _NUM_SHOWN_WORKERS:
            lines.append(f"and {len(facts.workers) - _NUM_SHOWN_WORKERS} more workers")
    elif facts.present:
        lines += ["", *facts.present]
    if facts.message:
        lines += ["", facts.message]
    first, *rest = map(_line, lines)
    return Group(first, bar, *rest)


def _line(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _show_line(stage: str, text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(f"{stage}: {text}\n")
        sys.stderr.flush()


def _show_warnings(stage: str, text: str) -> None:
    if split_worker(text)[1].startswith(_WARNINGS):
        _show_line(stage, text)
