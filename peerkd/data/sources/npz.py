"""One npz file of arrays.

    images, labels                                         without a test split
    train_images, train_labels, test_images, test_labels   with one
    class_names                                            K strings; the labels as numbers if absent

Any other array with one value per sample becomes a column: ``patient`` beside
``images``, ``train_patient`` and ``test_patient`` beside ``train_images``.

N samples, C channels, H W height and width, K classes.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.errors import DataSourceError

_NUM_CHANNELS = (1, 3)


def read_npz(path: Path) -> RawDataset:
    """Read the arrays at ``path``; images are uint8 as NCHW, NHWC (C is 1 or 3) or NHW.

    Raises:
        DataSourceError: If the file is unreadable or its arrays are not those above.
    """
    arrays = _load(path)
    try:
        return _assemble(arrays, name=path.stem)
    except (TypeError, ValueError) as error:
        raise DataSourceError(f"data.path: {path}: {error}") from error


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, since numpy leaves the file open when it turns out not to be a zip file.
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise DataSourceError(f"data.path: {path} must be an npz file, it holds a single array.")
            return dict(file)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataSourceError(f"data.path: {path} cannot be read as an npz file of plain arrays: {error}") from error


def _assemble(arrays: dict[str, np.ndarray], *, name: str) -> RawDataset:
    class_names = arrays.pop("class_names", None)
    num_train = len(arrays.get("train_images", ()))
    if num_train:
        arrays = _join_splits(arrays)
    for required in ("images", "labels"):
        if required not in arrays:
            raise ValueError(f"must hold {required} or train_{required} and test_{required}, got {', '.join(arrays)}.")
    labels_N = arrays.pop("labels")
    if labels_N.dtype.kind not in "iu" or labels_N.ndim != 1 or labels_N.size == 0:
        raise ValueError(f"labels must be whole numbers of shape (N,), got {labels_N.dtype} {labels_N.shape}.")
    images_NCHW = _channels_first(arrays.pop("images"))
    if class_names is None:
        class_names = np.arange(labels_N.max() + 1)
    return RawDataset(
        images_NCHW=images_NCHW,
        labels_N=labels_N.astype(np.int64),
        num_train=num_train or len(images_NCHW),
        class_names=tuple(str(class_name) for class_name in np.atleast_1d(class_names)),
        columns=arrays,
        name=name,
    )


def _join_splits(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Put ``train_x`` and ``test_x`` together as ``x``, for every x."""
    names = {array_name.removeprefix("train_") for array_name in arrays if array_name.startswith("train_")}
    expected = {f"{split}_{name}" for name in names for split in ("train", "test")}
    if arrays.keys() != expected:
        raise ValueError(
            "beside train_images, every array must come as train_<name> and test_<name>; "
            f"missing or left over: {', '.join(sorted(arrays.keys() ^ expected))}."
        )
    return {name: np.concatenate([arrays[f"train_{name}"], arrays[f"test_{name}"]]) for name in names}


def _channels_first(images: np.ndarray) -> npt.NDArray[np.uint8]:
    if images.ndim == 3:
        return images[:, None]
    is_first = images.ndim == 4 and images.shape[1] in _NUM_CHANNELS
    is_last = images.ndim == 4 and images.shape[3] in _NUM_CHANNELS
    if is_first == is_last:
        raise ValueError(
            f"images must be NHW, or NCHW or NHWC with 1 or 3 channels on one side only, got shape {images.shape}."
        )
    return images if is_first else images.transpose(0, 3, 1, 2)
