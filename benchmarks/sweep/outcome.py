"""The results of a contestant in a round. This module needs no torch."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """One student, trained and evaluated."""

    identity: tuple[object, ...]
    """The identity of the trial, by which results of programs are matched."""

    num_samples: int
    """Number of samples of the transfer set."""

    validation_accuracy: float
    test_accuracy: float


class Layout(NamedTuple):
    """The number of processes and threads of a program."""

    num_processes: int
    num_threads: int
    """Number of threads of each process."""

    def __str__(self) -> str:
        """Return the layout in words."""
        processes = "1 process" if self.num_processes == 1 else f"{self.num_processes} processes"
        return f"{processes} of {self.num_threads} {'thread' if self.num_threads == 1 else 'threads'}"


class Lap(NamedTuple):
    """A contestant's part of a round."""

    seconds: float
    outcomes: list[Outcome]

    num_taught: int
    """Number of samples of one epoch for which teachers compute logits, over all trials of the lap."""

    start_fraction: float | None = None
    """Share of the processes' time that passed before training began, for contestants whose start is timed."""

    ways_taken: tuple[str, ...] = ()
    """The ways in which the program trained its students, in words."""
