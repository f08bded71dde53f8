"""The trials that a run on pairs has finished so far, while other processes may be computing the others."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pyarrow as pa

from peerkd.artifacts.store import ArtifactStore
from peerkd.config.pipelines import JOINTKD
from peerkd.results import table
from peerkd.results.journal import CHECKSUM, read_journal
from peerkd.results.schema import BY_EPOCH_COLUMNS
from peerkd.stages import distill_pairs, tune_pairs
from peerkd.stages.journals import FILES, JOURNALS, Record
from peerkd.stages.stored_runs import StoredRun
from peerkd.stages.work.tuning.trial_results import with_earlier_epochs
from peerkd.study.trials import record_identity

IS_PARTIAL: Final = "is_partial"
"""The column that says of each row whether trials of the run may still be missing."""

_TABLES: Final = {distill_pairs.NAME: distill_pairs.TABLE_NAME, tune_pairs.NAME: tune_pairs.TRIALS_NAME}
"""The file with the table of trials, by the stage that publishes it."""

_A_COLUMN_BY_EPOCH: Final = next(iter(BY_EPOCH_COLUMNS.values()))


def trials_so_far(run: StoredRun, store: ArtifactStore) -> pa.Table:
    """Return the table of the trials that are finished, with the column ``is_partial``.

    The table is empty if no trial is finished. While trials are missing, the part of a gain that is due to the data is
    null for each trial whose control is missing.

    Args:
        run: The run as it is now in the store.
        store: The artifact store.

    Raises:
        ValueError: If the run has no trials of pairs.
    """
    if run.pipeline != JOINTKD.name:
        raise ValueError(f"run must be a run of {JOINTKD.name}, got {run.name} of {run.pipeline}.")
    for stage, file in _TABLES.items():
        published = run.find(stage)
        if published is not None:
            return _marked(table.read_table(store.fetch(published.key) / file), is_partial=False)
    key = run.next_key or ""
    stage = key.partition("/")[0]
    records = list(_records(key, store)) if stage in _TABLES else []
    # The stage may have been published while its journals were read, which disappear at that moment.
    if stage in _TABLES and store.find(key):
        return _marked(table.read_table(store.fetch(key) / _TABLES[stage]), is_partial=False)
    last: dict[tuple[object, ...], Record] = {}
    for record in sorted(records, key=lambda each: each["epochs"]):
        # A tuner trains a trial in several parts, each of which has a record with the epochs so far.
        earlier = last.get(record_identity(record))
        has_epochs = record.get(_A_COLUMN_BY_EPOCH) is not None
        last[record_identity(record)] = with_earlier_epochs(earlier, record) if earlier and has_epochs else record
    return _marked(table.assemble(last.values()), is_partial=True)


def _records(key: str, store: ArtifactStore) -> Iterator[Record]:
    """Yield the intact records of all journals in the workspace of an artifact.

    A journal that disappears is left out.
    """
    with store.read_workspace(key, is_chosen=lambda name: f"/{JOURNALS}" in name) as paths:
        for path in paths.values():
            with suppress(FileNotFoundError):
                for record in read_journal(path, on_damaged=lambda _: None):
                    yield {name: value for name, value in record.items() if name not in (CHECKSUM, FILES)}


def _marked(trials: pa.Table, *, is_partial: bool) -> pa.Table:
    return trials.append_column(IS_PARTIAL, pa.array([is_partial] * trials.num_rows, pa.bool_()))
