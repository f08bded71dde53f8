"""A shard that a worker has claimed, and is doing or has done."""

from collections.abc import Callable, Iterable
from typing import Any

from peerkd.results.journal import Journal
from peerkd.stages.checkpoints import ShardCheckpoint
from peerkd.stages.shards import Shard


class ClaimedShard:
    """A shard that this worker has claimed, with its journal and its checkpoint."""

    def __init__(
        self,
        shard: Shard,
        journal: Journal,
        close: Callable[[], None],
        *,
        journal_name: str,
        checkpoint: ShardCheckpoint,
    ) -> None:
        self.shard, self.journal, self.close = shard, journal, close
        self.journal_name, self.checkpoint = journal_name, checkpoint
        self.tasks: Iterable[Any] = ()
        """The tasks of the shard that were unfinished when it was claimed."""

        self.num_records = 0
        """The number of records of the shard so far, from all workers. The records themselves are in journals."""

        self.is_saved = True
