"""The samples that are held out from training: the validation, test and public sets."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from peerkd.config.data import DataConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.split import split_stratified
from peerkd.data.skipped import MissingSamplesError
from peerkd.seeds import generator
from peerkd.wording import plural

Indices: TypeAlias = npt.NDArray[np.int64]


def hold_out(
    data: DataConfig,
    dataset: ImageDataset | RawDataset,
    *,
    seed: int,
    public_fraction: float = 0.0,
    validation: Indices | None = None,
    public: Indices | None = None,
) -> tuple[Indices, Indices, Indices, Indices]:
    """Return the indices of the training, validation, test and public samples.

    If the data set has a validation split, that split is the validation set, and no sample of the training split is
    held out for validation.

    Args:
        data: The config of the data set.
        dataset: The data set.
        seed: The seed of the samples that are held out.
        public_fraction: The fraction of the training split that becomes the public set.
        validation: The training samples that become the validation set. Samples that are held out for testing are
            removed from it. None means the validation split of the data set or, if it has no such split, a random
            fraction of the training split.
        public: The training samples that become the public set. Samples that are held out for testing are removed from
            it. None means a random fraction of the training split.

    Raises:
        ValueError: If nothing would be left to train on.
    """
    labels = np.asarray(dataset.labels_N)
    given_validation = np.arange(dataset.num_train, dataset.num_train + dataset.num_validation)
    fractions = {"data.validation_fraction": data.validation_fraction, "partition.public_fraction": public_fraction}
    if len(given_validation) or validation is not None:
        del fractions["data.validation_fraction"]
    if not public_fraction:
        del fractions["partition.public_fraction"]
    if sum(fractions.values()) >= 1:
        raise ValueError(
            f"{' and '.join(fractions)} must be less than 1 together, so that samples are left to train on, "
            f"got {' and '.join(map(str, fractions.values()))}."
        )
    _check_classes(labels[: dataset.num_train], dataset.class_names)
    rest, test = split_off_test(data, dataset, seed=seed)
    if validation is not None:
        given_validation = np.intersect1d(validation, rest)
    given_public = np.empty(0, dtype=np.int64) if public is None else np.intersect1d(public, rest)
    rest = np.setdiff1d(rest, np.concatenate([given_validation, given_public]))
    if fractions:
        rng = generator(seed, "hold out")
        parts = split_stratified(labels[rest], fractions=list(fractions.values()), rng=rng)
        pool, *held_out = (rest[part] for part in parts)
    else:
        pool, held_out = rest, []
    validation = held_out.pop(0) if "data.validation_fraction" in fractions else given_validation
    public = held_out[0] if held_out else given_public
    parts_of_fields = {"data.validation_fraction": validation, "partition.public_fraction": public}
    for field, fraction in fractions.items():
        if not len(parts_of_fields[field]) or not len(pool):
            raise MissingSamplesError(
                f"{field} must hold out at least one of the training samples and leave one to train on, "
                f"got {fraction} of {len(rest):,}; add images."
            )
    _check_classes(labels[pool], dataset.class_names)
    for part, what in ((validation, "validation"), (test, "test")):
        if not np.isin(labels[part], labels[pool]).any():
            raise MissingSamplesError(
                f"data.path: some class must have training and {what} samples, got no {what} sample of a class that "
                f"is trained on. The largest class has {np.bincount(labels).max():,} of the {len(labels):,} samples."
            )
    return pool, validation, test, public


def split_off_test(data: DataConfig, dataset: ImageDataset | RawDataset, *, seed: int) -> tuple[Indices, Indices]:
    """Return the indices of the training and the test samples.

    If the data set has no test split, ``data.test_fraction`` of its training split is held out instead.

    Raises:
        ValueError: If no sample would be left to train on or to test on.
    """
    labels = np.asarray(dataset.labels_N)
    first_test = dataset.num_train + dataset.num_validation
    if first_test < len(labels):
        return np.arange(dataset.num_train), np.arange(first_test, len(labels))
    rng = generator(seed, "test")
    rest, test = split_stratified(labels[: dataset.num_train], fractions=[data.test_fraction], rng=rng)
    if not len(test) or not len(rest):
        raise MissingSamplesError(
            f"data.test_fraction must leave at least one sample to train on and one to test on, "
            f"got {data.test_fraction} of {dataset.num_train:,}; add images."
        )
    return rest, test


def _check_classes(labels: Indices, class_names: Sequence[str]) -> None:
    """Check that the training samples have at least two classes.

    Raises:
        ValueError: If all samples are of one class.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise MissingSamplesError(
            "data.path: the training samples must be of at least 2 classes, "
            f"got {plural(len(labels), 'sample')} of class {class_names[classes[0]]}; add images of another class."
        )
