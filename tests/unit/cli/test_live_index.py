"""The list of runs is written while a run is in progress."""

from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore
from peerkd.cli.live_index import LiveIndex
from peerkd.stages.store_index import INDEX_NAME
from tests.unit.stages.published_runs import SWEEP, begin, experiment, publish


def test_the_page_is_written_when_a_stage_begins_and_some_seconds_later(tmp_path: Path) -> None:
    begin(FilesystemStore(tmp_path), experiment(), SWEEP)
    page, now = tmp_path / INDEX_NAME, 0.0
    index = LiveIndex(str(tmp_path), clock=lambda: now)

    def is_written(stage: str) -> bool:
        page.unlink(missing_ok=True)
        index.follow(stage)
        return page.exists()

    # Until the first stage has ended, the run has no record.
    assert not is_written("partition_data")
    assert is_written("pretrain_peers")
    assert not is_written("pretrain_peers")
    assert is_written("distill_pairs")
    now = 11.0
    assert is_written("distill_pairs")


def test_the_page_is_written_at_the_end_unless_a_run_was_refused(tmp_path: Path) -> None:
    begin(FilesystemStore(tmp_path), experiment(), SWEEP)
    page, index = tmp_path / INDEX_NAME, LiveIndex(str(tmp_path))
    with pytest.raises(ValueError, match=r"^no$"), index.completing():
        raise ValueError("no")
    assert not page.exists()
    with index.completing():
        pass
    assert page.exists()
    page.unlink()
    with pytest.raises(KeyboardInterrupt), index.completing():
        raise KeyboardInterrupt
    assert page.exists()


def test_an_odd_record_of_a_run_neither_ends_a_run_nor_hides_its_end(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path)
    begin(store, experiment(), SWEEP)
    publish(store, "run/0123456789abcdef", pipeline="of another program")
    index = LiveIndex(str(tmp_path))
    for stage in ("partition_data", "pretrain_peers"):
        index.follow(stage)
    with index.completing():
        pass
    assert not (tmp_path / INDEX_NAME).exists()
