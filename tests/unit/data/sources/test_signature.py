import os
from pathlib import Path

import pytest

from peerkd.data.sources.signature import signature


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with three files, two of them in links to other folders."""
    for name in ("real/train/cat", "real/dog", "view/train"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "real/train/cat/0.png").write_bytes(b"cat")
    (tmp_path / "real/dog/0.png").write_bytes(b"dog")
    (tmp_path / "real/1.png").write_bytes(b"one")
    view = tmp_path / "view"
    (view / "train/cat").symlink_to(tmp_path / "real/train/cat")
    (view / "train/dog").symlink_to(tmp_path / "real/dog")
    (view / "train/1.png").symlink_to(tmp_path / "real/1.png")
    return view


@pytest.mark.parametrize("name", ["real/train/cat/0.png", "real/dog/0.png", "real/1.png"])
def test_a_change_behind_a_link_changes_the_signature(root: Path, name: str) -> None:
    before = signature(str(root))
    assert signature(str(root)) == before
    (root.parent / name).write_bytes(b"other content")
    assert signature(str(root)) != before


def test_a_new_file_behind_a_link_changes_the_signature(root: Path) -> None:
    before = signature(str(root))
    (root.parent / "real/dog/1.png").write_bytes(b"")
    assert signature(str(root)) != before


def test_a_replaced_file_of_the_same_size_and_time_changes_the_signature(root: Path) -> None:
    path = root.parent / "real/dog/0.png"
    before, status = signature(str(root)), path.stat()
    path.write_bytes(b"god")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert signature(str(root)) != before


def test_a_root_and_a_single_file_may_be_links(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "arrays.npz").symlink_to(tmp_path / "real/1.png")
    whole, single = signature(str(tmp_path / "link")), signature(str(tmp_path / "arrays.npz"))
    (tmp_path / "real/1.png").write_bytes(b"longer than before")
    assert signature(str(tmp_path / "link")) != whole
    assert signature(str(tmp_path / "arrays.npz")) != single


def test_a_circular_link_is_not_followed_forever(root: Path) -> None:
    (root / "train/cat/up").symlink_to(root)
    (root / "train/itself").symlink_to("itself")
    assert signature(str(root)) == signature(str(root))


def test_a_name_that_is_not_utf8_has_a_signature(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    before = signature(str(tmp_path))
    (tmp_path / os.fsdecode(b"caf\xe9.png")).rename(tmp_path / os.fsdecode(b"caf\xe8.png"))
    assert signature(str(tmp_path)) != before


def test_a_missing_path_has_the_signature_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert signature(str(tmp_path / "nowhere")) == signature(str(tmp_path / "empty"))
    assert signature(None) is None


def test_the_signature_of_a_flat_source_ignores_subfolders(tmp_path: Path) -> None:
    (tmp_path / "images.npy").write_bytes(b"one")
    (tmp_path / "inner").mkdir()
    flat, deep = signature(str(tmp_path), is_flat=True), signature(str(tmp_path))
    (tmp_path / "inner" / "labels.npy").write_bytes(b"not read")
    assert signature(str(tmp_path), is_flat=True) == flat
    assert signature(str(tmp_path)) != deep
    (tmp_path / "images.npy").write_bytes(b"two")
    assert signature(str(tmp_path), is_flat=True) != flat
