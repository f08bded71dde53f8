"""The extensions of a sweep: with ``sweep.extend``, values beyond the edges of the grid are tried after the grid.

The first worker plans an extension when all trials so far are done, and writes it to a file in the workspace, from
which the other workers read it. An extension follows from these trials alone, so a worker that was killed plans the
same one again. An extension that adds no values is the last one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from peerkd.artifacts.store import Workspace
from peerkd.config.experiment import ExperimentConfig
from peerkd.metrics.progress import print_line
from peerkd.reporting.wording import at_edges
from peerkd.results.grid_edges import GridEdge, edges_of_choice
from peerkd.results.journal import from_line, to_line
from peerkd.results.selection import candidates, choose
from peerkd.results.spill import write_trials
from peerkd.results.table import mapped_table
from peerkd.stages.distill_pairs import NAME
from peerkd.stages.shard_queue import ShardQueue
from peerkd.stages.shards import (
    MAX_SHARDS_OF_SECTION,
    SCRATCH,
    Shard,
    has_sections,
    load_if_intact,
    num_shards_of_sweep,
    split_into_shards,
    write_whole,
)
from peerkd.study.extension import MAX_EXTENSIONS, Addition, addition, extended, may_be_added
from peerkd.study.plan import Plan, plan

_TABLE: Final = f"{SCRATCH}extension.parquet"


class SweepExtension:
    """The shards of a sweep: the shards of the grid, and the shards of all extensions that this worker knows."""

    def __init__(
        self,
        config: ExperimentConfig,
        peers: Sequence[int],
        workspace: Workspace,
        *,
        is_first_worker: bool,
        on_added: Callable[[int], None],
    ) -> None:
        """Plan the grid of the config.

        Args:
            config: The experiment.
            peers: The peers that take part, ascending.
            workspace: The workspace of the artifact, with the files of the extensions.
            is_first_worker: Whether this worker plans the extensions.
            on_added: A callback with the number of trials of the grid, and of each extension.
        """
        self._config, self._peers, self._workspace = config, peers, workspace
        self._pairs = config.pairs(peers)
        self._is_first_worker, self._on_added = is_first_worker, on_added
        self._grid = config.grid
        self._damaged: set[str] = set()
        self.added: list[Addition] = []
        """What each extension has added to the grid."""

        self.shards: list[Shard] = _shards(plan(self._grid, self._pairs))
        """The shards of the grid and of all extensions."""

        on_added(sum(shard.num_records for shard in self.shards))

    @property
    def all_added(self) -> Addition:
        """The values that all extensions together have added."""
        total = Addition()
        for each in self.added:
            total = total.joined(each)
        return total

    @property
    def is_over(self) -> bool:
        """Whether no extension follows."""
        if not self._config.sweep.extend:
            return True
        return len(self.added) >= MAX_EXTENSIONS or bool(self.added and self.added[-1].is_empty)

    def add_shards(self, queue: ShardQueue) -> bool:
        """Add the shards of the extensions that have been planned; return whether more may follow."""
        while not self.is_over:
            planned = self._read_next(queue)
            if planned is None and self._is_first_worker and queue.is_done(self.shards):
                planned = self._plan_next(queue)
            if planned is None:
                return True
            self._accept(planned, queue)
        return False

    def _accept(self, added: Addition, queue: ShardQueue) -> None:
        self.added.append(added)
        if added.is_empty:
            return
        longer = extended(self._grid, added)
        units = plan(longer, self._pairs, without=self._grid)
        shards = _shards(
            units, prefix=f"extension-{len(self.added)}-", in_sections=any(shard.section for shard in self.shards)
        )
        self._grid = longer
        self.shards += shards
        queue.add(shards)
        self._on_added(sum(shard.num_records for shard in shards))

    def _read_next(self, queue: ShardQueue) -> Addition | None:
        """Return what the next extension adds, or None if it has not been planned or its file is damaged."""
        name = self._next_name
        if name not in queue.file_names or not load_if_intact(self._workspace, name):
            return None
        record = from_line((self._workspace.folder / name).read_bytes())
        if record is None:
            if name not in self._damaged:
                self._damaged.add(name)
                print_line(NAME, f"{name} is damaged: the extension is planned again")
            return None
        return Addition(*(tuple(record[field]) for field in Addition._fields))

    def _plan_next(self, queue: ShardQueue) -> Addition:
        """Return what the next extension adds, given the records of all trials so far, and write it to its file."""
        edges = [edge for edge in self._edges(queue) if may_be_added(edge.dimension, edge.next_value)]
        added = addition((edge.dimension, edge.next_value) for edge in edges)
        record: dict[str, Any] = {name: list(values) for name, values in added._asdict().items()}
        write_whole(self._workspace, self._next_name, to_line(record), partial=f"{SCRATCH}extension.writing")
        if added.is_empty:
            print_line(NAME, "nothing is added to the grid, because few pairs choose its edges")
        else:
            print_line(NAME, f"extension {len(self.added) + 1}: {at_edges(edges)}")
        return added

    def _edges(self, queue: ShardQueue) -> list[GridEdge]:
        """Return the edges of the grid that many pairs choose.

        They are computed from all trials so far, by the rule that the report uses.
        """
        config, sweep = self._config, self._config.sweep
        # The table is written as at the end of the stage, because ties follow the order of its rows.
        path = self._workspace.folder / _TABLE
        write_trials(queue.records(self.shards), path, scratch_folder=self._workspace.folder / SCRATCH)
        try:
            with mapped_table(path) as table:
                trials = candidates(
                    table,
                    metric=sweep.selection_metric,
                    default=config.untuned_default,
                    is_pair_PP=self._pairs.as_matrix(config.partition.num_peers),
                )
                choice = choose(trials, default_transfer_set=sweep.resolved_default_transfer_set)
                return edges_of_choice(trials, choice)
        finally:
            path.unlink()

    @property
    def _next_name(self) -> str:
        return f"{SCRATCH}extension-{len(self.added) + 1}.json"


def _shards(units: Plan, *, prefix: str = "", in_sections: bool | None = None) -> list[Shard]:
    """Split units into shards. If ``in_sections`` is None, the shards are in sections if there are many of them."""
    num_shards = num_shards_of_sweep(len(units))
    if in_sections is None:
        in_sections = has_sections(num_shards)
    # Neighbours in the plan are in one shard. The largest units come first, so that all workers end at about the same
    # time.
    return split_into_shards(
        units,
        num_records=lambda part: part.num_trials,
        max_shards=num_shards if in_sections else MAX_SHARDS_OF_SECTION,
        prefix=prefix,
        in_sections=in_sections,
    )
