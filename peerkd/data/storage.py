"""The files that packed and streamed data sets have in common: arrays, and the metadata in ``dataset.json``."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.skipped import to_json
from peerkd.errors import ArtifactCorruptError

BLOCK_BYTES: Final = 16 * 2**20
"""The approximate size of the pieces in which large arrays are read."""


def content_fingerprint(header: Mapping[str, Any], arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 in hex over ``header`` (as JSON) and the bytes, dtypes and shapes of ``arrays``."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for block in blocks(array):
            digest.update(block.tobytes())
    return digest.hexdigest()


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write ``dataset.json``. It must be written last, because it marks the folder as a finished data set."""
    (folder / "dataset.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="ascii")


def describing_metadata(dataset: ImageDataset | RawDataset) -> dict[str, Any]:
    """Return the fields of ``dataset.json`` that say how the data set was read.

    Packed and streamed data sets both have these fields.
    """
    return {
        "num_validation": dataset.num_validation,
        "label_values": list(dataset.label_values),
        "remarks": list(dataset.remarks),
        "skipped": to_json(dataset.skipped),
    }


def read_metadata(folder: Path, *, kind: str | None = None) -> dict[str, Any]:
    """Read ``dataset.json`` and, if ``kind`` is given, check its kind.

    Raises:
        ArtifactCorruptError: If the file is missing, does not contain a JSON object, or has another kind.
    """
    path = folder / "dataset.json"
    try:
        metadata = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactCorruptError(f"{path}: cannot be read, so this is not a finished data set: {error}") from error
    except ValueError as error:
        raise ArtifactCorruptError(f"{path}: is not JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise ArtifactCorruptError(f"{path}: must contain a JSON object, got {type(metadata).__name__}.")
    if kind is not None and metadata.get("kind") != kind:
        raise ArtifactCorruptError(f"{path}: kind must be {kind!r}, got {metadata.get('kind')!r}.")
    return metadata


def read_array(path: Path) -> np.ndarray:
    """Memory-map the npy file at ``path``, read-only.

    Raises:
        ArtifactCorruptError: If the file is missing, truncated or not a plain array.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ArtifactCorruptError(f"{path}: cannot be read as an array: {error}") from error
    # A plain ndarray, because every slice and batch of a memmap is a memmap too.
    return np.asarray(array)


def blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield ``array`` in pieces of about ``BLOCK_BYTES`` along its first axis."""
    num_rows = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), num_rows):
        yield array[start : start + num_rows]
