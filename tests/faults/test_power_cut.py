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


def test_a_file_whose_creation_was_not_seen_survives_with_its_name_once_both_are_synced(tmp_path: Path) -> None:
    operations = [
        operation("create", "/store/other", inode=8),
        operation("content", PARTIAL, data=b"weights"),
        operation("write", "/store/other", inode=8, data=b"x"),
        operation("rename", PARTIAL, new_parent=1, new_path=FINAL),
        operation("sync", FINAL, data=b"weights"),
        operation("sync-folder", "/store", inode=1),
    ]
    for seed in range(20):
        target = tmp_path / str(seed)
        disk_after(operations, len(operations), ROOT, target, rng=random.Random(seed))
        assert (target / "a.safetensors").read_bytes() == b"weights"
        assert not (target / "a.writing").exists()


def test_a_name_that_was_not_synced_may_be_lost(tmp_path: Path) -> None:
    operations = [operation("create", FINAL), operation("write", FINAL, data=b"weights")]
    found = set()
    for seed in range(40):
        target = tmp_path / str(seed)
        disk_after(operations, 2, ROOT, target, rng=random.Random(seed))
        path = target / "a.safetensors"
        found.add(path.read_bytes() if path.exists() else None)
    assert {None, b"weights", b""} <= found
