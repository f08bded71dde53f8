"""The steps of a check, each of which runs in its own process with a time limit, and the summary of their outcomes.

A step that hangs, crashes or makes the GPU's context unusable therefore harms no other step. This module needs no
torch.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

_INTERVAL_SECONDS: Final = 0.05
_LEAST_SECONDS: Final = 5.0
"""A step does not begin if less time than this is left."""

_KILLED_SECONDS: Final = 5.0
"""The time for which the check waits for a killed process to end. A process that waits for a driver may never end."""

_NUM_LAST_LINES: Final = 6
_NUM_FACTS: Final = 20
_WIDTH: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One part of the check."""

    name: str
    """The name of its log, without ``.txt``."""

    claim: str
    """The statement that holds if the step passes."""

    arguments: tuple[str, ...]
    """The arguments of the Python interpreter."""

    limit_seconds: float
    packages: tuple[str, ...] = ()
    """The packages that this step needs in addition to the packages that all steps need."""

    environment: Mapping[str, str] = field(default_factory=dict)


class Outcome(NamedTuple):
    """What became of a step."""

    step: Step
    passed: bool
    text: str


class _Running(NamedTuple):
    step: Step
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float
    limit_seconds: float


class Runner:
    """Runs steps one group after another, all steps of a group at once."""

    def __init__(
        self,
        python: str,
        folder: Path,
        *,
        root: Path | None = None,
        missing: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        total_seconds: float,
        say: Callable[[str], None] = print,
    ) -> None:
        """Store the arguments, and start the clock of the total time.

        Args:
            python: The interpreter of all steps.
            folder: The folder of the logs.
            root: The working directory of the steps; None: that of this process.
            missing: The packages that the interpreter lacks. Steps that need a missing package are left out.
            environment: The environment of the steps; None: that of this process.
            total_seconds: The time for all steps together. Steps are cut off, or left out, to stay within it.
            say: A function that shows a line of the summary.
        """
        self._python, self._folder, self._say = python, folder, say
        self._root = root
        self._missing = frozenset(missing)
        self._environment = {**os.environ} if environment is None else {**environment}
        self._started = time.monotonic()
        self._total_seconds = total_seconds

    def run(self, groups: Sequence[Sequence[Step]]) -> list[Outcome]:
        """Run all steps, show each outcome when it is known, and return the outcomes."""
        outcomes = [outcome for group in groups for outcome in self._run_group(group)]
        num_passed = sum(outcome.passed for outcome in outcomes)
        self._say(f"{num_passed} of {len(outcomes)} steps passed in {self._seconds():.0f} s; logs: {self._folder}")
        return outcomes

    def _run_group(self, group: Sequence[Step]) -> list[Outcome]:
        outcomes, running = list[Outcome](), list[_Running]()
        try:
            for step in group:
                reason = self._reason_to_leave_out(step)
                if reason:
                    outcomes.append(Outcome(step, False, f"left out: {reason}"))
                    self._show(outcomes[-1], [])
                else:
                    running.append(self._start(step))
            while running:
                for each in list(running):
                    outcome = _outcome(each)
                    if outcome is None:
                        continue
                    running.remove(each)
                    _end(each)
                    outcomes.append(outcome)
                    log = self._log_path(each.step).read_text(encoding="utf-8", errors="replace")
                    self._show(outcome, shown_lines(log, passed=outcome.passed))
                time.sleep(_INTERVAL_SECONDS)
        finally:
            for each in running:
                _end(each)
        return outcomes

    def _reason_to_leave_out(self, step: Step) -> str:
        lacking = sorted(self._missing & set(step.packages))
        if lacking:
            return f"{self._python} lacks {', '.join(lacking)}"
        return "no time left" if self._total_seconds - self._seconds() < _LEAST_SECONDS else ""

    def _start(self, step: Step) -> _Running:
        log = self._log_path(step).open("wb")
        process = subprocess.Popen(
            [self._python, *step.arguments],
            cwd=self._root,
            env={**self._environment, **step.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # A group of its own, so that its children end with it.
            start_new_session=True,
        )
        limit_seconds = min(step.limit_seconds, self._total_seconds - self._seconds())
        return _Running(step, process, log, time.monotonic(), limit_seconds)

    def _show(self, outcome: Outcome, lines: Sequence[str]) -> None:
        self._say(f"{self._seconds():4.0f} s  {outcome.step.name}: {outcome.text}. {outcome.step.claim}")
        for line in lines:
            self._say(f"          {line[:_WIDTH]}")

    def _log_path(self, step: Step) -> Path:
        return self._folder / f"{step.name}.txt"

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def shown_lines(log: str, *, passed: bool) -> list[str]:
    """Return the lines of a log that belong in the summary.

    These are the measurements and, if the step failed, the last lines that are not measurements.

    A measurement is a line of JSON or a row of a Markdown table.
    """
    facts, others = list[str](), list[str]()
    for line in filter(str.strip, log.splitlines()):
        fact = _fact(line)
        (facts if fact else others).append(fact or line)
    num_others = 0 if passed and facts else 1 if passed else _NUM_LAST_LINES
    return facts[-_NUM_FACTS:] + others[len(others) - min(num_others, len(others)) :]


def _fact(line: str) -> str:
    if line.startswith("| "):
        return line
    try:
        facts = json.loads(line)
    except ValueError:
        return ""
    return ", ".join(f"{name}: {value}" for name, value in facts.items()) if isinstance(facts, dict) else ""


def _outcome(running: _Running) -> Outcome | None:
    """Return the outcome of a step, or None while it runs within its limit."""
    code = running.process.poll()
    seconds = time.monotonic() - running.started
    if code is None:
        if seconds < running.limit_seconds:
            return None
        return Outcome(running.step, False, f"CUT OFF after {seconds:.0f} s")
    if code == 0:
        return Outcome(running.step, True, f"passed in {seconds:.0f} s")
    if code < 0:
        return Outcome(running.step, False, f"CRASHED with {signal.Signals(-code).name} after {seconds:.0f} s")
    return Outcome(running.step, False, f"FAILED with exit code {code} after {seconds:.0f} s")


def _end(running: _Running) -> None:
    """End a step's process and its children, if any are left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(running.process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        running.process.wait(timeout=_KILLED_SECONDS)
    running.log.close()
