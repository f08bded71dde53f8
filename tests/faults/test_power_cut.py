"""Possible states of a disk after a power cut, worked out by hand."""

import random
from pathlib import Path

from tests.faults.power_cut import disk_after
from tests.faults.shim import Operation

ROOT = Path("/store")
PARTIAL, FINAL = "/store/a.writing", "/store/a.safetensors"


def operation(name: str, path: str, **changes: object) -> Operation:
    values = {"inode": 7, "parent": 1, "new_parent": 0, "offset": 0, "new_path": "", "data": b""}
    return Operation(name=name, path=path, **{**values, **changes})  # type: ignore[arg-type]


def test_a_file_that_was_renamed_unseen_has_its_name_once_both_are_synced(tmp_path: Path) -> None:
    operations = [
        operation("create", "/store/before"),
        operation("write", "/store/before", data=b"other"),
        operation("unlink", "/store/before"),
        operation("create", "/store/.tmp1"),
        operation("write", "/store/.tmp1", data=b"weights"),
        operation("content", PARTIAL, data=b"weights"),
        operation("rename", PARTIAL, new_parent=1, new_path=FINAL),
        operation("sync", FINAL, data=b"weights"),
        operation("sync-folder", "/store", inode=1),
    ]
    for seed in range(20):
        target = tmp_path / str(seed)
        disk_after(operations, len(operations), ROOT, target, rng=random.Random(seed))
        assert {path.name: path.read_bytes() for path in target.iterdir()} == {"a.safetensors": b"weights"}


def test_files_in_a_renamed_folder_are_not_renamed_again(tmp_path: Path) -> None:
    operations = [
        operation("mkdir", "/store/a.partial", inode=2),
        operation("create", "/store/a.partial/file", parent=2),
        operation("rename", "/store/a.partial", inode=2, new_parent=1, new_path="/store/a"),
        operation("content", "/store/a/file", data=b"weights"),
        operation("sync", "/store/a/file", data=b"weights"),
        operation("sync-folder", "/store/a", inode=2),
        operation("sync-folder", "/store", inode=1),
    ]
    disk_after(operations, len(operations), ROOT, tmp_path / "disk", rng=random.Random(0))
    assert (tmp_path / "disk/a/file").read_bytes() == b"weights"


def test_a_name_that_was_not_synced_may_be_lost(tmp_path: Path) -> None:
    operations = [operation("create", FINAL), operation("write", FINAL, data=b"weights")]
    found = set()
    for seed in range(40):
        target = tmp_path / str(seed)
        disk_after(operations, 2, ROOT, target, rng=random.Random(seed))
        path = target / "a.safetensors"
        found.add(path.read_bytes() if path.exists() else None)
    assert {None, b"weights", b""} <= found
