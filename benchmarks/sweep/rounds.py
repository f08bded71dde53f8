"""Rounds in which all contestants take turns, and their measurements."""

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from benchmarks.sweep.arithmetic import MatrixRates
from benchmarks.sweep.contestants import ENGINE, Choice, Contestant, Program
from benchmarks.sweep.memory import watching
from benchmarks.sweep.outcome import Lap


@dataclass(kw_only=True)
class Measured:
    """The measurements of one contestant, by round."""

    contestant: Contestant
    choice: Choice
    laps: list[Lap] = field(default_factory=list)

    matrix_flops: list[float] = field(default_factory=list)
    """FLOP/s of matrix products with the contestant's processes and threads; see ``MatrixRates.measure``."""

    peak_bytes: list[int] = field(default_factory=list)


def time_in_turn(
    contestants: Sequence[Contestant], rates: MatrixRates, *, num_rounds: int, name: str, deadline: float = math.inf
) -> list[Measured]:
    """Return the measurements. Each contestant has one turn in each round.

    The load and the temperature of the machine thus affect all contestants alike.

    Args:
        contestants: The contestants. Each is opened before the first round, in its fastest variant.
        rates: The rates of matrix products, which are also measured in each round.
        num_rounds: The number of rounds.
        name: The name of the workload, for progress messages on standard error.
        deadline: The time of ``time.monotonic`` after which no contestant except peerkd is opened, and no further round
            begins.
    """
    with ExitStack() as stack:
        turns: list[tuple[Measured, Program]] = []
        # The others are compared with peerkd, so it must not be the one for which no time is left.
        order = contestants if deadline == math.inf else sorted(contestants, key=lambda each: each.name != ENGINE)
        for contestant in order:
            if contestant.name != ENGINE and time.monotonic() > deadline:
                _say(f"{name}: {contestant.name} is left out, because no time is left")
                continue
            choice, program = _open_fastest(contestant, name=name)
            stack.enter_context(closing(program))
            turns.append((Measured(contestant=contestant, choice=choice), program))
        for number in range(1, num_rounds + 1):
            if number > 1 and time.monotonic() > deadline:
                break
            for measured, program in turns:
                with watching(program.process_ids) as peak:
                    lap = program.lap()
                measured.laps.append(lap)
                measured.peak_bytes.append(peak.num_bytes)
                measured.matrix_flops.append(rates.measure(program.layout, measured.contestant.precision))
                _say(
                    f"{name}: round {number} of {num_rounds}: {measured.contestant.name}, "
                    f"{measured.contestant.precision}: {len(lap.outcomes)} trials in {lap.seconds:.1f} s"
                )
        return [measured for measured, _ in turns]


def _open_fastest(contestant: Contestant, *, name: str) -> tuple[Choice, Program]:
    """Open the choice that completes the most trials per second in one lap, and return it with its program."""
    best: tuple[float, Choice, Program] | None = None
    for choice in contestant.choices:
        program = choice.open()
        trials_per_second = 0.0
        if len(contestant.choices) > 1:
            lap = program.lap()
            trials_per_second = len(lap.outcomes) / lap.seconds
            _say(f"{name}: {contestant.name}, {choice.text}: {trials_per_second:.3g} trials per second")
        if best is not None and trials_per_second <= best[0]:
            program.close()
            continue
        if best is not None:
            best[2].close()
        best = trials_per_second, choice, program
    assert best is not None
    return best[1], best[2]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
