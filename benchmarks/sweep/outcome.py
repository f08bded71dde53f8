"""What a contestant does in a round. No torch."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """One student, trained and judged."""

    identity: tuple[object, ...]
    """Identity of the trial."""

    num_samples: int
    """Number of samples of the transfer set."""

    validation_accuracy: float
    test_accuracy: float


class Layout(NamedTuple):
    """How a program uses the processor."""

    num_processes: int
    num_threads: int
    """Number of threads of each process."""

    def __str__(self) -> str:
        """Return it in words."""
        processes = "1 process" if self.num_processes == 1 else f"{self.num_processes} processes"
        return f"{processes} of {self.num_threads} {'thread' if self.num_threads == 1 else 'threads'}"


class Lap(NamedTuple):
    """A contestant's part of a round."""

    seconds: float
    outcomes: list[Outcome]

    num_taught: int
    """Samples of an epoch that a teacher ran on."""

    start_fraction: float | None = None
    """Share of the processes' time that went by before they trained, where starting counts."""

    ways_taken: tuple[str, ...] = ()
    """What a program has chosen by itself, for people."""
