"""The shards of a stage: parts of its work that one worker does, and files that all workers of the stage share.

The shards of a large stage are divided into sections. A section has a folder of its own, so a worker lists only the
section in which it works, and each list has few names however many shards the stage has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from peerkd.artifacts.store import Workspace
from peerkd.durable import replace_whole
from peerkd.errors import ArtifactCorruptError

SCRATCH: Final = "scratch/"

SECTIONS: Final = f"{SCRATCH}sections/"
"""The folder of all sections."""

MAX_SHARDS_OF_SECTION: Final = 256
"""The maximum number of shards in a section. A list of their claims, marks and journals fits into one response of
S3."""


SAVE_SECONDS: Final = 1.5
"""The time between two saves of the journal of a shard to which records are added."""

MAX_SHARDS: Final = 100_000
"""The maximum number of shards of the grid of a sweep, and of each extension."""

_UNITS_OF_SHARD: Final = 64
"""The number of units in a shard of a sweep with more than one section. With this number, hundreds of workers finish at
about the same time, and the requests for a shard cost little compared with its trainings."""


def num_shards_of_sweep(num_units: int) -> int:
    """Return the number of shards into which the units of a sweep are divided. It does not depend on the workers."""
    return min(num_units, max(MAX_SHARDS_OF_SECTION, min(num_units // _UNITS_OF_SHARD, MAX_SHARDS)))


def has_sections(num_shards: int) -> bool:
    """Return whether a stage with so many shards has sections."""
    return num_shards > MAX_SHARDS_OF_SECTION


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A part of a stage's work that one worker does. Which shards exist does not depend on the number of workers."""

    name: str
    tasks: Sequence[Any]
    """The tasks of the shard. The sequence may be lazy, so that a task is created when it is indexed."""

    num_records: int
    """The number of records in the journals when all tasks are done."""

    section: str = ""
    """The name of the shard's section; empty in a stage without sections."""

    @property
    def folder(self) -> str:
        """The folder with the shard's claims, mark and journals, with a slash at its end."""
        return folder_of_section(self.section)


def folder_of_section(section: str) -> str:
    """Return the folder with the claims, the marks and the journals of a section, with a slash at its end.

    An empty name stands for the shards of a stage without sections.
    """
    return f"{SECTIONS}{section}/" if section else SCRATCH


def unfinished(tasks: Sequence[Any], finished: set[Any]) -> list[Any]:
    """Return the tasks that are not in ``finished``, the identities of the existing records.

    This function is for stages in which a task is itself the identity of its only record.
    """
    return [task for task in tasks if task not in finished]


def load_if_intact(workspace: Workspace, name: str) -> bool:
    """Load a saved file into the folder of a workspace; return False if it does not exist or is damaged."""
    try:
        return workspace.load(name)
    except ArtifactCorruptError:
        return False


def write_whole(workspace: Workspace, name: str, content: bytes, *, partial: str) -> None:
    """Write a file to the folder of a workspace, sync it and save it.

    Until it is complete, the file has the name ``partial``, so other workers see it complete or not at all.
    """
    path = workspace.folder / name
    (workspace.folder / partial).write_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_whole(workspace.folder / partial, path)
    workspace.save(name)


def split_into_shards(
    tasks: Sequence[Any],
    *,
    num_records: Callable[[Any], int],
    max_shards: int,
    prefix: str = "",
    in_sections: bool = False,
) -> list[Shard]:
    """Split tasks into at most ``max_shards`` contiguous shards with nearly equal numbers of tasks.

    Each shard contains a slice of ``tasks``, so a sequence that creates its tasks when it is indexed stays lazy.

    Args:
        tasks: All tasks, in their order.
        num_records: A function of a slice of the tasks, which returns how many records these tasks will have.
        max_shards: The maximum number of shards, at least 1.
        prefix: The beginning of the names of the shards. A stage that splits tasks several times needs a different
            prefix each time.
        in_sections: Whether the shards get folders of their own in groups, the sections, so that a worker lists few
            files at a time. Either all shards of a stage are in sections, or none is.
    """
    num_shards = min(max_shards, len(tasks))
    bounds = [len(tasks) * number // num_shards for number in range(num_shards + 1)]
    parts = [tasks[start:stop] for start, stop in pairwise(bounds)]
    return [
        Shard(
            name=f"{prefix}{number:04d}",
            tasks=part,
            num_records=num_records(part),
            section=f"{prefix}{number // MAX_SHARDS_OF_SECTION:04d}" if in_sections else "",
        )
        for number, part in enumerate(parts)
    ]
