"""The files that belong to some shards of a stage without sections: their claims, marks and journals."""

from collections.abc import Callable, Iterable

from peerkd.stages.journals import JOURNALS
from peerkd.stages.shard_claims import CLAIMS, DONE
from peerkd.stages.shards import SCRATCH


def files_of_shards(names: Iterable[str], is_chosen: Callable[[str], bool]) -> list[str]:
    """Return the names of the claims, marks and journals of some shards.

    Args:
        names: The names of files in the workspace.
        is_chosen: A function that returns, given the name of a shard, whether its files are meant.
    """
    folders = tuple(f"{SCRATCH}{folder}" for folder in (CLAIMS, DONE, JOURNALS))
    return [name for name in names if name.startswith(folders) and is_chosen(name.split("/")[2])]
