import json
from pathlib import Path

import pytest

from peerkd.artifacts.filesystem import FilesystemStore

KEY = "trials/0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> FilesystemStore:
    store = FilesystemStore(tmp_path / "runs")
    for key in (KEY, "report/fedcba9876543210"):
        with store.open_workspace(key) as workspace:
            (workspace.folder / "table").write_bytes(b"1,2,3")
            store.publish(key, metadata={})
    return store


@pytest.mark.usefixtures("store")
def test_an_intact_store_is_reported_as_such(peerkd) -> None:
    outcome = peerkd("store", "check", "--store", "runs")
    assert outcome.exit_code == 0
    assert outcome.out.splitlines() == [
        "ok       report/fedcba9876543210: 1 files, 5 bytes",
        f"ok       {KEY}: 1 files, 5 bytes",
        "2 artifacts, 0 damaged.",
    ]


@pytest.mark.usefixtures("store")
def test_a_check_is_printed_as_json(peerkd, tmp_path: Path) -> None:
    (tmp_path / "runs" / KEY / "table").write_bytes(b"1,2,4")
    outcome = peerkd("store", "check", "--store", "runs", "--json")
    assert outcome.exit_code == 1
    intact, damaged = json.loads(outcome.out)
    assert intact == {"key": "report/fedcba9876543210", "num_files": 1, "num_bytes": 5, "damage": None}
    assert (damaged["key"], "the content of table is not" in damaged["damage"]) == (KEY, True)


def test_the_command_that_a_damaged_artifact_asks_for_is_one_that_helps(
    peerkd, store: FilesystemStore, tmp_path: Path
) -> None:
    (tmp_path / "runs" / KEY / "table").write_bytes(b"1,2,4")
    outcome = peerkd("store", "check", "--store", "runs")
    assert outcome.exit_code == 1
    assert outcome.out.splitlines()[1:] == [
        f"DAMAGED  {KEY}: the content of table is not what its manifest says. Move it out of the way with "
        f"'peerkd store set-aside --store runs {KEY}', which deletes nothing, and run again.",
        "2 artifacts, 1 damaged.",
    ]
    command = outcome.out.split("'")[1]
    outcome = peerkd(*command.split()[1:])
    assert (outcome.exit_code, outcome.out) == (0, f"{KEY} is now {KEY}.damaged-1\n")
    assert store.find(KEY) is None
    assert (tmp_path / "runs" / f"{KEY}.damaged-1" / "table").read_bytes() == b"1,2,4"
    assert peerkd("store", "check", "--store", "runs").exit_code == 0


def test_a_key_that_does_not_exist_is_refused(peerkd) -> None:
    for verb in ("check", "set-aside"):
        outcome = peerkd("store", verb, "--store", "runs", KEY)
        assert (outcome.exit_code, outcome.err) == (1, f"peerkd: runs has no artifact {KEY}.\n")


def test_files_of_killed_workers_are_cleared(peerkd, store: FilesystemStore, tmp_path: Path) -> None:
    with store.open_workspace(KEY) as workspace:
        (workspace.folder / "scratch" / "beat").write_bytes(b"1")
    outcome = peerkd("store", "clear", "--store", "runs")
    assert (outcome.exit_code, outcome.out) == (0, "Files deleted: 1.\n")
    assert not (tmp_path / "runs" / f"{KEY}.partial").exists()


def test_a_place_without_artifacts_is_not_called_whole(peerkd) -> None:
    outcome = peerkd("store", "check", "--store", "nowhere")
    assert (outcome.exit_code, outcome.err) == (1, "peerkd: nowhere has no artifacts.\n")
