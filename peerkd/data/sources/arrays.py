"""Named arrays on disk in the formats of numpy: an npz file, or a folder of npy files.

The headers are read first, so that no memory is allocated for an array of absurd size or of a forbidden type.
"""

import math
import stat
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import numpy as np

from peerkd.data.sources.folders import entry_kind, is_hidden, list_entries, not_found, special_kind
from peerkd.data.wording import printable
from peerkd.errors import DataSourceError

_SUFFIX: Final = ".npy"

# Exceptions that numpy, zipfile and the decompressors raise on damaged input.
_DAMAGE: Final = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    OverflowError,
    RecursionError,
    RuntimeError,  # Raised for encrypted members and, as NotImplementedError, for unknown compression methods.
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The shape and the type of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def num_bytes(self) -> int:
        """The size of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayFiles:
    """The arrays in one file or folder: the headers of all arrays, and a function that reads one array."""

    headers: Mapping[str, Header]
    """The headers, sorted and keyed by the name of the array."""

    other_names: tuple[str, ...]
    """The files in the same file or folder that are not arrays."""

    read: Callable[[str], np.ndarray]
    """A function that takes the name of an array and returns the array. It raises ``DataSourceError`` if the array is
    damaged."""


@contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFiles]:
    """Open an npz file, or a folder of npy files, and read the headers of its arrays.

    Raises:
        DataSourceError: If ``path`` is neither, or an array is damaged or contains Python objects.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise _refusal(path, f"it {not_found(path)}.") from error
    except (OSError, ValueError) as error:
        raise _refusal(path, f"it cannot be read: {_reason(error)}.") from error
    if stat.S_ISDIR(mode):
        yield _open_folder(path)
        return
    if not stat.S_ISREG(mode):
        # Reading a pipe or a device might never end.
        raise _refusal(path, f"it must be an npz file or a folder of npy files, but it is {special_kind(mode)}.")
    with _open_file(path) as stream, _open_archive(path, stream) as archive:
        yield _list_archive(path, archive)


def _open_file(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise _refusal(path, f"it cannot be read: {_reason(error)}.") from error


def _open_archive(path: Path, stream: IO[bytes]) -> zipfile.ZipFile:
    magic = stream.read(len(np.lib.format.MAGIC_PREFIX))
    stream.seek(0)
    if magic == np.lib.format.MAGIC_PREFIX:
        raise _refusal(
            path,
            "it must be an npz file, but it contains a single array. Save images and labels together "
            "with numpy.savez, or give a folder with images.npy and labels.npy.",
        )
    try:
        return zipfile.ZipFile(stream)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _list_archive(path: Path, archive: zipfile.ZipFile) -> ArrayFiles:
    members, others = {}, []
    repeated = [name for name, count in Counter(archive.namelist()).items() if count > 1]
    if repeated:
        raise _refusal(path, f"it contains {repeated[0]} more than once; keep one of them.")
    for info in archive.infolist():
        is_visible = not any(map(is_hidden, PurePosixPath(info.filename).parts))
        if info.filename.endswith(_SUFFIX) and is_visible:
            members[info.filename.removesuffix(_SUFFIX)] = info
        elif not info.is_dir():
            others.append(info.filename)

    def open_member(name: str) -> tuple[IO[bytes], int]:
        return archive.open(members[name]), members[name].file_size

    return _list_arrays(path, sorted(members), sorted(others), open_member)


def _open_folder(path: Path) -> ArrayFiles:
    entries = list_entries(path)
    is_array = {entry.name: entry.name.endswith(_SUFFIX) and not is_hidden(entry.name) for entry in entries}
    arrays = [name.removesuffix(_SUFFIX) for name in is_array if is_array[name]]
    others = [name for name in is_array if not is_array[name]]
    kinds = {entry.name: entry_kind(entry) for entry in entries}
    if not arrays:
        raise _refusal(path, "it must be an npz file or a folder of npy files, but it is a folder without npy files.")

    def open_member(name: str) -> tuple[IO[bytes], int]:
        file = path / f"{name}{_SUFFIX}"
        if kinds[file.name] != "file":
            raise ValueError(f"it is a {kinds[file.name]}")
        return file.open("rb"), file.stat().st_size

    return _list_arrays(path, arrays, others, open_member)


def _list_arrays(
    path: Path, names: list[str], others: list[str], open_member: Callable[[str], tuple[IO[bytes], int]]
) -> ArrayFiles:
    def read_header(name: str) -> Header:
        try:
            stream, num_bytes = open_member(name)
            with stream:
                header = _parse_header(stream)
                num_data_bytes = num_bytes - stream.tell()
        except _DAMAGE as error:
            raise _damaged(path, error, name) from error
        _check_header(path, name, header, num_data_bytes)
        return header

    def read(name: str) -> np.ndarray:
        try:
            stream, _ = open_member(name)
            with stream:
                array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        except MemoryError as error:
            raise _refusal(path, f"{name} cannot be read, because memory ran out.") from error
        except _DAMAGE as error:
            raise _damaged(path, error, name) from error
        return array

    return ArrayFiles(headers={name: read_header(name) for name in names}, other_names=tuple(others), read=read)


def _parse_header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    # Version 3 differs from version 2 only in the encoding of field names, and arrays with fields are refused.
    parse = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = parse(stream)
    return Header(shape=shape, dtype=dtype)


def _check_header(path: Path, name: str, header: Header, num_data_bytes: int) -> None:
    if header.dtype.hasobject:
        raise _refusal(
            path,
            f"{name} contains Python objects, which cannot be read without running code from the file. "
            f"Save it as numbers, or as text with {name}.astype(str).",
        )
    if any(length < 0 for length in header.shape) or header.num_bytes != num_data_bytes:
        raise _refusal(
            path,
            f"{name} is damaged: its header states {header}, which is {header.num_bytes:,} bytes, but the file has "
            f"{num_data_bytes:,}.",
        )


def _damaged(path: Path, error: BaseException, name: str = "") -> DataSourceError:
    subject = f"{name} cannot be read as an array" if name else "it cannot be read as an npz file of plain arrays"
    return _refusal(path, f"{subject}: {_reason(error)}.")


def _refusal(path: Path, sentence: str) -> DataSourceError:
    return DataSourceError(f"data.path: {printable(str(path))}: {sentence}")


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (text.splitlines() or [type(error).__name__])[0][:200].rstrip(".") or type(error).__name__
