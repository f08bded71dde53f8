"""Samples are listed in files of text or of numpy."""

from pathlib import Path

import numpy as np
import pytest

from peerkd.data.partition.listed import check_lists, read_indices
from peerkd.errors import DataSourceError


def read(path: Path) -> list[int]:
    return read_indices(path, field="files[3]").tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64, ">i4"])
def test_an_array_is_read_in_ascending_order(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.array([7, 0, 3], dtype))
    assert read(tmp_path / "a.npy") == [0, 3, 7]


def test_text_is_read_in_ascending_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"7\r\n0\r\n\r\n  12  \r\n3")
    assert read(tmp_path / "a.txt") == [0, 3, 7, 12]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "must contain at least one index, got none"),
        (b"1\n2\n1\n", "must not repeat an index, got 1 more than once"),
        (b"1\n1.5\n", "must contain one whole number per line, got 1.5 in line 2"),
        (b"1_0\n", "got 1_0 in line 1"),
        (b"1,2\n", "got 1,2 in line 1"),
        (b"\xff\n", r"got \xff in line 1"),
        (b"9" * 5_000, "got 999"),
    ],
)
def test_other_text_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    with pytest.raises(DataSourceError) as refusal:
        read(tmp_path / "a.txt")
    assert str(refusal.value).startswith(f"files[3]: {tmp_path / 'a.txt'} ")
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0.0, 1.0]), r"must be a vector of whole numbers, got float64 of shape \(2,\)"),
        (np.array([[0, 1]]), r"got int64 of shape \(1, 2\)"),
        (np.array([2**63], np.uint64), r"below 2\^63, got 9223372036854775808"),
        (np.array([], np.int64), "at least one index, got none"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataSourceError, match=message):
        read(tmp_path / "a.npy")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match="must be a file that exists"):
        read(tmp_path / "none.txt")
    with pytest.raises(DataSourceError, match="a file that exists; check the path, which begins at /"):
        read(Path("nowhere/none.txt"))
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(DataSourceError, match=r"must be an array that numpy\.save wrote"):
        read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataSourceError, match=r"must be an array that numpy\.save wrote"):
        read(tmp_path / "b.npy")


def test_an_index_has_one_sample_and_one_list() -> None:
    lists = {"files[0]": np.array([0, 4]), "files[1]": np.array([2, 3])}
    check_lists(lists, num_samples=5)
    with pytest.raises(ValueError, match=r"files\[0\] must contain indices from 0 to 3, .* got 4\."):
        check_lists(lists, num_samples=4)
    with pytest.raises(ValueError, match=r"files\[0\] must contain indices from 0 to 4, .* got -1\."):
        check_lists({"files[0]": np.array([-1, 4])}, num_samples=5)
    with pytest.raises(ValueError, match=r"public must not contain .*, got 3, which files\[1\] contains too\."):
        check_lists(lists | {"public": np.array([1, 3])}, num_samples=5)
