"""The parts of a round that several workers share: tasks, files and results. The module needs no torch.

The peers are divided into parts. In each round, each part has one task after another, which are the phases of the
round. A phase ends where a method needs what other parts have trained. The parts and the phases depend on the config
alone, and not on the workers.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

ROUNDS_FOLDER: Final = "rounds"
"""The folder of the files of all parts, in the folder of the checkpoints."""


class PartTask(NamedTuple):
    """A task: to do one phase of a round of a method for the peers of one part."""

    method: str
    number: int
    """The number of the round, counted from 1."""

    phase: int
    """The number of the phase, counted from 0."""

    part: int
    """The number of the part, counted from 0."""

    num_parts: int
    """The number of parts into which the peers are divided. Files of another division have other names."""

    @property
    def name(self) -> str:
        """The name of the task's shard, and the beginning of the name of the file that the task writes."""
        return f"{self.method}-{self.number:05d}-{self.phase}-{self._part_name}"

    @property
    def file_name(self) -> str:
        """The name of the file with the networks that the task has trained, in ``ROUNDS_FOLDER``."""
        return f"{self.name}.safetensors"

    @property
    def state_name(self) -> str:
        """The name of the file with the peers of the part after the round, in ``ROUNDS_FOLDER``."""
        return f"{self.method}-{self.number:05d}-{self._part_name}.safetensors"

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "PartTask":
        """Return the task of a record."""
        return cls(record["method"], record["round"], record["phase"], record["part"], record["num_parts"])

    @property
    def _part_name(self) -> str:
        return f"{self.part:03d}of{self.num_parts:03d}"


class InputsMissing(NamedTuple):
    """Event: a task has ended without a result, because a file of an earlier task is missing.

    This happens if other workers have finished later rounds meanwhile.
    """

    task: PartTask


class PartDone(NamedTuple):
    """Event: a phase of a round has ended for the peers of one part."""

    record: dict[str, Any]
    """The task, and whether its round has ended for these peers. If so, the record also has the global validation
    accuracy of each peer of the part after the round. The record of the last round has the measurements of the peers of
    the part after each round. JSON can represent all values."""

    file_names: tuple[str, ...]
    """The names of the files in ``ROUNDS_FOLDER`` that the task has written."""

    networks: tuple[int, ...]
    """The peers whose networks the task has published."""

    num_samples: int
    """The number of samples in the trainings of the task."""

    gpu_bytes: tuple[int, int] = (0, 0)
    """The GPU memory in bytes that the process takes now, and its peak so far."""


def parts_of(peers: Sequence[int], num_parts: int) -> list[tuple[int, ...]]:
    """Divide peers into parts whose numbers of peers differ by at most 1. There are at most as many parts as peers.

    Neighbours are in different parts, because the samples of peers may become fewer with their numbers.
    """
    num = min(num_parts, len(peers))
    return [tuple(peers[first::num]) for first in range(num)]
