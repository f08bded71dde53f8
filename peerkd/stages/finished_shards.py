"""Which shards of a stage are done, as one worker knows them, and the records of these shards.

A shard is done if it is marked as done and its journals have all its records. A shard that is marked although records
are missing or damaged is reopened, so that a worker computes them again.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from peerkd.errors import ArtifactCorruptError
from peerkd.metrics.progress import print_line
from peerkd.stages.journals import Journals, Record
from peerkd.stages.shard_claims import ShardClaims
from peerkd.stages.shards import Shard


class FinishedShards:
    """The shards that are done. Records are read from journals when they are needed, and not kept in memory."""

    def __init__(
        self,
        claims: ShardClaims,
        journals: Journals,
        *,
        stage: str,
        identity: Callable[[Record], Hashable],
        on_recovered: Callable[[int], None],
        on_done_elsewhere: Callable[[int], None],
    ) -> None:
        """Begin without a shard. The other arguments are as in ``StageWork``."""
        self._claims, self._journals = claims, journals
        self._stage, self._identity = stage, identity
        self._on_recovered, self._on_done_elsewhere = on_recovered, on_done_elsewhere
        self._complete: set[str] = set()
        """The names of the complete shards: this worker has counted all their records in journals, or has written the
        last one."""

        self._counted: set[str] = set()
        """The names of the shards whose records have been reported to ``on_recovered`` or ``on_done_elsewhere``."""

    def has(self, shard: Shard) -> bool:
        """Return whether a shard is done and has all its records.

        A shard that is marked as done although records are missing is reopened, so that it can be claimed again.
        """
        if shard.name in self._complete:
            return True
        if shard.name not in self._claims.done:
            return False
        num_records = self._count_records(shard)
        if num_records < shard.num_records:
            # The listing may be older than the last journal.
            self._claims.refresh()
            num_records = self._count_records(shard)
        if num_records >= shard.num_records:
            self._complete.add(shard.name)
            return True
        missing = f"{shard.num_records - num_records:,} records: they are computed again"
        print_line(self._stage, f"part {shard.name} was marked as done but lacks {missing}")
        self._claims.reopen(shard)
        if shard.name in self._counted:
            self._counted.remove(shard.name)
            self._on_recovered(-shard.num_records)
        return False

    def are_marked(self, shards: Iterable[Shard]) -> bool:
        """Return whether all given shards are marked as done. Their records are not read."""
        return {shard.name for shard in shards} <= self._complete | self._claims.done

    def load(self, shards: Sequence[Shard]) -> list[Record] | None:
        """Return the records of shards that are marked as done; None if a record is missing. No shard is reopened."""
        records = {self._identity(record): record for shard in shards for record in self._journals.load(shard)}
        if len(records) < sum(shard.num_records for shard in shards):
            return None
        self._complete.update(shard.name for shard in shards)
        return list(records.values())

    def records(self, shards: Iterable[Shard]) -> Iterator[Record]:
        """Yield the records of shards from their journals. Of several copies of a record, one is yielded.

        Raises:
            ArtifactCorruptError: If records of a shard are missing. The records that exist are yielded first.
        """
        for shard in shards:
            seen: set[Hashable] = set()
            for record in self._journals.load(shard):
                identity = self._identity(record)
                if identity not in seen:
                    seen.add(identity)
                    yield record
            if len(seen) != shard.num_records:
                raise ArtifactCorruptError(
                    f"The journals of part {shard.name} of {self._stage} must have {shard.num_records} records, "
                    f"got {len(seen)}: run the same command again to compute the missing ones."
                )

    def recheck(self, shards: Iterable[Shard]) -> None:
        """Read the records of shards that are done again, because a file of a record has turned out to be damaged.

        Shards of which records are missing are reopened.
        """
        for shard in shards:
            self._complete.discard(shard.name)
            self.has(shard)

    def complete(self, shard: Shard) -> None:
        """Regard a shard as complete, because this worker has written its last record."""
        self._complete.add(shard.name)

    def supersede(self, shards: Iterable[Shard]) -> None:
        """Regard shards as done, because later shards have been done from their results."""
        names = {shard.name for shard in shards}
        self._complete |= names
        self._claims.done |= names

    def report_claimed(self, shard: Shard, num_records: int) -> None:
        """Report the records that earlier attempts have left of a shard that this worker has claimed."""
        self._counted.add(shard.name)
        self._on_recovered(num_records)

    def report_recovered(self, shards: Mapping[str, Shard]) -> None:
        """Report the records of shards that were done before this worker knew them. Shards are given by name."""
        for name in self._claims.done & shards.keys():
            self.report_claimed(shards[name], shards[name].num_records)

    def report_done_elsewhere(self, shards: Mapping[str, Shard]) -> None:
        """Report the records of shards that other workers have done meanwhile. Shards are given by name."""
        # Other workers may have finished shards that are not among them yet.
        for name in self._claims.done & shards.keys() - self._counted:
            self._counted.add(name)
            self._on_done_elsewhere(shards[name].num_records)

    def _count_records(self, shard: Shard) -> int:
        return len({self._identity(record) for record in self._journals.load(shard)})
