"""The trials of a run in progress are read from its journals."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import peerkd
from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.artifacts.store import ArtifactStore
from peerkd.results.journal import open_journal
from peerkd.results.table import assemble, write_table
from peerkd.stages.distill_pairs import TABLE_NAME
from peerkd.stages.partial_trials import trials_so_far
from tests.tables import control, record
from tests.unit.stages.published_runs import COLLABORATE, SWEEP, TUNE, begin, experiment, go_on, runs_of

PLACES = ("scratch/journals/0000/a.jsonl", "scratch/sections/0001/journals/0256/b.jsonl")


def write(store: ArtifactStore, **journals: list[dict[str, Any]]) -> None:
    """Write records into the journals of the stage with which the only run continues."""
    (run,) = runs_of(store)
    with store.open_workspace(str(run.next_key), shared=True) as workspace:
        for place, records in journals.items():
            path = workspace.folder / PLACES[int(place.removeprefix("journal_"))]
            path.parent.mkdir(parents=True)
            with open_journal(path) as journal:
                for each in records:
                    texts = {name: value.hex() for name, value in each.items() if isinstance(value, bytes)}
                    journal.append({**each, **texts, "files": {"states/a": "0" * 64}})
            workspace.save(PLACES[int(place.removeprefix("journal_"))])


def test_finished_trials_are_a_table_while_others_are_missing(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    go_on(store, experiment(), SWEEP, begin(store, experiment(), SWEEP), num_stages=1)
    run = peerkd.open_run(store=tmp_path)
    assert run.partial_table(form="arrow").num_rows == 0
    taught, untaught = record(student=1, teacher=0), control(student=1)
    write(store, journal_0=[taught], journal_1=[record(student=0, teacher=1)])
    with (tmp_path / f"{run.stored.next_key}.partial" / PLACES[0]).open("ab") as file:
        file.write(b'{"checksum": "a line that is being written')
    rows = run.partial_table(form="arrow").to_pylist()
    assert [(row["student"], row["teacher"], row["is_partial"]) for row in rows] == [(0, 1, True), (1, 0, True)]
    assert rows[1]["test_global_gain"] == taught["test_global_accuracy_after"] - taught["test_global_accuracy_before"]
    assert rows[1]["test_global_gain_from_teacher"] is None
    (tmp_path / f"{run.stored.next_key}.partial" / PLACES[1]).unlink()
    with open_journal(tmp_path / f"{run.stored.next_key}.partial" / PLACES[0]) as journal:
        journal.append({name: value.hex() if isinstance(value, bytes) else value for name, value in untaught.items()})
    *_, row = (each for each in run.partial_table(form="arrow").to_pylist() if each["distillation_weight"])
    assert (row["student"], row["test_global_gain_from_teacher"]) == (1, 0.0)


def test_of_the_parts_of_a_tuned_trial_the_last_one_counts(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    go_on(store, experiment(), TUNE, begin(store, experiment(), TUNE), num_stages=1)
    write(store, journal_0=[record(epochs=4)], journal_1=[record(epochs=2), record(epochs=8)])
    table = peerkd.open_run(store=tmp_path).partial_table(form="arrow")
    assert table["epochs"].to_pylist() == [8]


def test_a_run_without_trials_of_pairs_has_no_such_table(tmp_path: Path) -> None:
    begin(FilesystemStore(tmp_path), peerkd.load("collaborate"), COLLABORATE)
    with pytest.raises(ValueError, match=r"^run must be a run of jointkd, got .* of collaborate\.$"):
        peerkd.open_run(store=tmp_path).partial_table()


def test_a_table_that_is_published_while_its_journals_are_read_is_whole(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    go_on(store, experiment(), SWEEP, begin(store, experiment(), SWEEP), num_stages=1)
    (run,) = runs_of(store)
    write(store, journal_0=[record()])

    class Publishing(FilesystemStore):
        """A store whose workspace is published after its files have been listed."""

        @contextmanager
        def read_workspace(self, key: str, **given: Any) -> Iterator[Mapping[str, Path]]:
            with super().read_workspace(key, **given) as paths, store.open_workspace(key) as workspace:
                write_table(assemble([record(), record(alpha=0.9)]), workspace.folder / TABLE_NAME)
                store.publish(key, metadata={})
                yield paths

    table = trials_so_far(run, Publishing(tmp_path))
    assert table["is_partial"].to_pylist() == [False, False]
