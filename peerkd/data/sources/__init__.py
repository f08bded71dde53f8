"""Sources of data sets, one file each. A source returns a ``RawDataset``; it does not download anything."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peerkd.data.dataset import RawDataset
from peerkd.data.partition.split import stratified_sample
from peerkd.data.sources.cifar import CIFAR10, CIFAR100, read_cifar
from peerkd.data.sources.digits import read_digits
from peerkd.data.sources.npz import read_npz
from peerkd.data.sources.pixel_rules import PixelRules, ReportProgress
from peerkd.data.wording import listed
from peerkd.wording import plural

__all__ = ["limit_samples", "move_to_test", "read_source"]


def read_source(
    source: str,
    *,
    path: str | None,
    rules: PixelRules | None = None,
    skip_damaged: bool = False,
    columns_path: Path | None = None,
    progress: ReportProgress | None = None,
) -> RawDataset:
    """Read the data set ``source``.

    Args:
        source: digits, cifar10, cifar100, image_folder or npz.
        path: A file or a folder; ``~`` is the home folder. None for digits, which is part of scikit-learn.
        rules: Rules that convert the files of an image_folder to RGB of 8 bits; None for the defaults. npz uses only
            the ``pixel_range``, and other sources use no rules.
        skip_damaged: Whether to omit images of an image_folder that cannot be read.
        columns_path: A CSV file with further values of each image of an image_folder.
        progress: Called with the number of images of an image_folder that have been read.

    Raises:
        ValueError: If an argument does not fit the source.
        DataSourceError: If the files at ``path`` are missing, truncated or unreadable.
    """
    rules = rules or PixelRules()
    image_size_pixels = rules.image_size_pixels
    if image_size_pixels is not None and (source != "image_folder" or image_size_pixels < 1):
        raise ValueError(
            "data.image_size_pixels must be at least 1 and applies to data.source image_folder only, "
            f"got {image_size_pixels} with {source}."
        )
    if source == "digits":
        if path is not None:
            raise ValueError(f"data.path must not be given with data.source digits, got {path!r}.")
        return read_digits()

    def read_images(folder: Path) -> RawDataset:
        # Imported here because it needs Pillow, which other sources do not.
        from peerkd.data.sources.image_folder import read_image_folder

        return read_image_folder(
            folder,
            rules,
            skip_damaged=skip_damaged,
            columns_path=columns_path,
            progress=progress,
        )

    readers: dict[str, Callable[[Path], RawDataset]] = {
        "cifar10": lambda folder: read_cifar(folder, CIFAR10),
        "cifar100": lambda folder: read_cifar(folder, CIFAR100),
        "image_folder": read_images,
        "npz": lambda file: read_npz(file, pixel_range=rules.pixel_range),
    }
    if source not in readers:
        raise ValueError(f"data.source must be one of digits, {', '.join(readers)}, got {source!r}.")
    if path is None:
        raise ValueError(f"data.path must be given with data.source {source}.")
    return readers[source](Path(path).expanduser())


def limit_samples(
    raw: RawDataset,
    *,
    max_train_samples: int | None,
    max_test_samples: int | None,
    rng: np.random.Generator,
) -> RawDataset:
    """Return a subset of a data set that keeps the class proportions and the order of the samples.

    The validation split of the data set, if it has one, is kept complete.

    Args:
        raw: The data set.
        max_train_samples: Largest size of the training split, at least 1; None keeps all samples.
        max_test_samples: Largest size of the test split, at least 1; None keeps all samples.
        rng: Generator that chooses the samples of each class.

    Raises:
        ValueError: If a limit is below 1.
    """
    kept_train = _limited(raw.labels_N[: raw.num_train], "data.max_train_samples", max_train_samples, rng)
    first_test = raw.num_train + raw.num_validation
    kept_test = _limited(raw.labels_N[first_test:], "data.max_test_samples", max_test_samples, rng)
    kept = np.concatenate([kept_train, np.arange(raw.num_train, first_test), first_test + kept_test])
    if len(kept) == len(raw.labels_N):
        return raw
    lost = np.setdiff1d(raw.labels_N, raw.labels_N[kept])
    remarks = raw.remarks
    if lost.size:
        names = [raw.class_names[k] for k in lost.tolist()]
        remarks += (
            f"data.max_train_samples and data.max_test_samples leave no sample of "
            f"{plural(len(names), 'class', 'classes')}: {listed(names)}",
        )
    return replace(_take(raw, kept, num_train=len(kept_train)), remarks=remarks)


def move_to_test(raw: RawDataset, test: npt.NDArray[np.int64]) -> RawDataset:
    """Return a data set in which the given samples of the training split form the test split.

    Args:
        raw: The data set. If it has a test split already, it is returned as it is.
        test: Ascending indices of the samples that become the test split.
    """
    if raw.num_train + raw.num_validation < len(raw.labels_N):
        return raw
    rest = np.setdiff1d(np.arange(len(raw.labels_N)), test)
    return _take(raw, np.concatenate([rest, test]), num_train=raw.num_train - len(test))


def _take(raw: RawDataset, indices: npt.NDArray[np.int64], *, num_train: int) -> RawDataset:
    """Return the data set with only the samples at ``indices``, in this order, and a training split of this size."""
    return replace(
        raw,
        images_NCHW=raw.images_NCHW[indices],
        labels_N=raw.labels_N[indices],
        num_train=num_train,
        columns={name: column_N[indices] for name, column_N in raw.columns.items()},
    )


def _limited(labels: np.ndarray, field: str, max_samples: int | None, rng: np.random.Generator) -> np.ndarray:
    if max_samples is not None and max_samples < 1:
        raise ValueError(f"{field} must be at least 1, got {max_samples}.")
    if max_samples is None or max_samples >= len(labels):
        return np.arange(len(labels))
    return stratified_sample(labels, num_samples=max_samples, rng=rng)
