import errno
import os
from pathlib import Path

import pytest

from peerkd.durable import make_folder, replace_whole, sync_file, sync_folder


def fail_with(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_cannot_sync_folders_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_with(number, monkeypatch)
    sync_folder(tmp_path)


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1")
    fail_with(errno.EIO, monkeypatch)
    for sync, path in ((sync_folder, tmp_path), (sync_file, tmp_path / "a")):
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            sync(path)


def test_a_file_is_synced_before_it_replaces_another_and_its_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, path = tmp_path / "a.partial", tmp_path / "a"
    path.write_bytes(b"old")
    partial.write_bytes(b"new")
    synced: list[tuple[str, bytes]] = []

    def fsync(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, path.read_bytes()))

    monkeypatch.setattr("os.fsync", fsync)
    replace_whole(partial, path)
    assert synced == [("a.partial", b"old"), (tmp_path.name, b"new")]


def test_the_names_of_new_folders_are_synced_from_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, list[str]]] = []

    def fsync(descriptor: int) -> None:
        folder = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((folder.name, os.listdir(folder)))

    monkeypatch.setattr("os.fsync", fsync)
    make_folder(tmp_path / "a/b")
    assert synced == [(tmp_path.name, ["a"]), ("a", ["b"])]
    make_folder(tmp_path / "a/b")
    assert len(synced) == 2
