"""Lists of samples in files: an array of numpy, or text with one index per line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from peerkd.arrays import IntArray
from peerkd.data.wording import listed, printable
from peerkd.errors import DataSourceError
from peerkd.excerpt import start_of

_MAX_LINE_BYTES: Final = 100


def read_indices(path: Path, *, field: str) -> IntArray:
    """Read the indices in a file, and return them in ascending order.

    Args:
        path: An npy file with a vector of whole numbers, or a text file with one whole number per line. Blank lines
            do not count.
        field: The config field that names the file, for messages.

    Raises:
        DataSourceError: If the file cannot be read, contains something else, or repeats an index.
    """
    where = f"{field}: {printable(str(path))}"
    if not path.is_file():
        raise DataSourceError(f"{where} must be a file that exists; check the path{start_of(path)}.")
    try:
        indices = _read_array(where, path) if path.suffix == ".npy" else _read_text(where, path)
    except OSError as error:
        raise DataSourceError(f"{where} cannot be read: {error.strerror}.") from error
    distinct, counts = np.unique(indices, return_counts=True)
    if not indices.size:
        raise DataSourceError(f"{where} must contain at least one index, got none.")
    if len(distinct) < len(indices):
        raise DataSourceError(f"{where} must not repeat an index, got {distinct[counts > 1][0]} more than once.")
    return distinct


def check_lists(lists: Mapping[str, IntArray], *, num_samples: int) -> None:
    """Check that every index belongs to a sample, and none to two lists.

    Args:
        lists: The ascending indices of each list, keyed by the config field that names its file.
        num_samples: The number of samples that can be listed.

    Raises:
        ValueError: If an index is out of range or in two lists.
    """
    owner_of = np.full(num_samples, -1)
    for number, (field, indices) in enumerate(lists.items()):
        if indices[0] < 0 or indices[-1] >= num_samples:
            wrong = indices[0] if indices[0] < 0 else indices[-1]
            raise ValueError(
                f"{field} must contain indices from 0 to {num_samples - 1:,}, the samples of the training split, got "
                f"{wrong}."
            )
        taken = indices[owner_of[indices] >= 0]
        if taken.size:
            other = list(lists)[owner_of[taken[0]]]
            raise ValueError(
                f"{field} must not contain a sample of another file, got {listed(taken.tolist())}, which {other} "
                "contains too."
            )
        owner_of[indices] = number


def _read_array(where: str, path: Path) -> IntArray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataSourceError(f"{where} must be an array that numpy.save wrote: {error}.") from error
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataSourceError(f"{where} must be a vector of whole numbers, got {array.dtype} of shape {array.shape}.")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise DataSourceError(f"{where} must contain indices below 2^63, got {array.max()}.")
    return np.array(array, np.int64)


def _read_text(where: str, path: Path) -> IntArray:
    numbers = []
    with path.open("rb") as lines:
        for row, line in enumerate(iter(lambda: lines.readline(_MAX_LINE_BYTES), b""), start=1):
            text = line.strip()
            # Only digits, because int() also accepts 1_000 and digits of other scripts.
            if text and not (text.removeprefix(b"-").isdigit() and len(text) < 19):
                raise DataSourceError(
                    f"{where} must contain one whole number per line, got "
                    f"{printable(text.decode('utf-8', 'surrogateescape'))} in line {row:,}."
                )
            if text:
                numbers.append(int(text))
    return np.array(numbers, np.int64)
