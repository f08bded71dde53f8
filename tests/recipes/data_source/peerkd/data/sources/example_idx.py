"""The IDX files of MNIST and its relatives: images and labels of a training and a test split, not compressed.

N samples, H W height and width.
"""

import math
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.errors import DataSourceError

_SPLITS: Final = ("train", "t10k")
_UINT8: Final = 8
"""The code of unsigned bytes in the header, the only type that these data sets have."""


def read_example_idx(folder: Path) -> RawDataset:
    """Read the four files of a data set in the format of MNIST.

    Raises:
        DataSourceError: If a file is missing, or is not what its header says.
    """
    images = [_read(folder / f"{split}-images-idx3-ubyte", num_dimensions=3) for split in _SPLITS]
    labels = [_read(folder / f"{split}-labels-idx1-ubyte", num_dimensions=1) for split in _SPLITS]
    for split, images_NHW, labels_N in zip(_SPLITS, images, labels, strict=True):
        if len(images_NHW) != len(labels_N):
            raise DataSourceError(
                f"data.path: the {split} split must have a label for each of its {len(images_NHW):,} images, "
                f"got {len(labels_N):,} labels."
            )
    all_labels_N = np.concatenate(labels).astype(np.int64)
    return RawDataset(
        images_NCHW=np.concatenate(images)[:, None],
        labels_N=all_labels_N,
        num_train=len(labels[0]),
        class_names=tuple(str(k) for k in range(int(all_labels_N.max()) + 1)),
        columns={},
        name=folder.name,
    )


def _read(path: Path, *, num_dimensions: int) -> npt.NDArray[np.uint8]:
    """Return an array: two zero bytes, the type, the number of dimensions, each of them as 32 bits, then the values."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataSourceError(f"data.path: {path} must be a readable file: {error.strerror}.") from error
    num_header_bytes = 4 + 4 * num_dimensions
    shape = [int.from_bytes(content[place : place + 4], "big") for place in range(4, num_header_bytes, 4)]
    if content[:4] != bytes((0, 0, _UINT8, num_dimensions)) or len(content) != num_header_bytes + math.prod(shape):
        raise DataSourceError(
            f"data.path: {path} must be an IDX file of unsigned bytes with {num_dimensions} dimensions, and complete; "
            "it is not."
        )
    return np.frombuffer(content, np.uint8, offset=num_header_bytes).reshape(shape)
