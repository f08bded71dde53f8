"""Dividing a data set among the peers as a config says: first hold-outs, then sizes, then classes."""

import numpy as np
import numpy.typing as npt

from peerkd.config.data import DataConfig, PartitionConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.checks import check_min_samples, check_partition
from peerkd.data.partition.classes import partition_classes
from peerkd.data.partition.dirichlet import partition_dirichlet
from peerkd.data.partition.iid import partition_iid
from peerkd.data.partition.natural import partition_natural
from peerkd.data.partition.quantity import dirichlet_sizes, equal_sizes
from peerkd.data.partition.shards import partition_shards
from peerkd.data.partition.split import matched_subset, split_stratified
from peerkd.seeds import generator

_Indices = npt.NDArray[np.int64]


def divide(config: ExperimentConfig, dataset: ImageDataset | RawDataset) -> Assignment:
    """Return who gets which sample.

    Raises:
        ValueError: If the data set cannot be divided so; the message names the field, the rule and the value.
    """
    labels = np.asarray(dataset.labels_N)
    pool, validation, test, public = hold_out(
        config.data, dataset, seed=config.seed, public_fraction=config.partition.public_fraction
    )
    shares = [np.sort(pool[part]) for part in _parts(config, dataset, pool)]
    train, own_validation, own_test = _own_sets(config, labels, shares, validation=validation, test=test)
    check_min_samples(train, min_samples_per_peer=config.partition.min_samples_per_peer)
    return Assignment(
        train=tuple(train),
        own_validation=tuple(own_validation),
        own_test=tuple(own_test),
        validation=np.sort(validation),
        test=np.sort(test),
        public=np.sort(public),
    )


def hold_out(
    data: DataConfig, dataset: ImageDataset | RawDataset, *, seed: int, public_fraction: float = 0.0
) -> tuple[_Indices, _Indices, _Indices, _Indices]:
    """Return the samples to train on, to choose by, to report on, and that are public.

    A validation split of the data set's own is the validation set, whole; then none is cut from the training split.

    Raises:
        ValueError: If nothing would be left to train on.
    """
    labels = np.asarray(dataset.labels_N)
    given_validation = np.arange(dataset.num_train, dataset.num_train + dataset.num_validation)
    fractions = {"data.validation_fraction": data.validation_fraction, "partition.public_fraction": public_fraction}
    if len(given_validation):
        del fractions["data.validation_fraction"]
    if not public_fraction:
        del fractions["partition.public_fraction"]
    if sum(fractions.values()) >= 1:
        raise ValueError(
            f"{' and '.join(fractions)} must leave something to train on, "
            f"got {' and '.join(map(str, fractions.values()))}."
        )
    rest, test = _test_split(data, dataset, seed=seed)
    if fractions:
        rng = generator(seed, "hold out")
        parts = split_stratified(labels[rest], fractions=list(fractions.values()), rng=rng)
        pool, *held_out = (rest[part] for part in parts)
    else:
        pool, held_out = rest, []
    validation = given_validation if len(given_validation) else held_out.pop(0)
    return pool, validation, test, held_out[0] if held_out else np.empty(0, dtype=np.int64)


def _test_split(data: DataConfig, dataset: ImageDataset | RawDataset, *, seed: int) -> tuple[_Indices, _Indices]:
    """Return the training samples and the test samples: the data set's own test split, or one cut from the former."""
    labels = np.asarray(dataset.labels_N)
    first_test = dataset.num_train + dataset.num_validation
    if first_test < len(labels):
        return np.arange(dataset.num_train), np.arange(first_test, len(labels))
    rng = generator(seed, "test")
    rest, test = split_stratified(labels[: dataset.num_train], fractions=[data.test_fraction], rng=rng)
    return rest, test


def _parts(config: ExperimentConfig, dataset: ImageDataset | RawDataset, pool: _Indices) -> list[_Indices]:
    """Return each peer's positions in ``pool``."""
    partition = config.partition
    num_peers = partition.num_peers
    labels = np.asarray(dataset.labels_N)[pool]
    if num_peers * partition.min_samples_per_peer > len(pool):
        raise ValueError(
            f"partition.num_peers must be at most {len(pool) // partition.min_samples_per_peer}, so that each has "
            f"{partition.min_samples_per_peer} of the {len(pool):,} training samples, got {num_peers:,}."
        )
    rng = generator(config.seed, "partition")
    match partition.label_skew.kind:
        case "shards":
            parts = partition_shards(
                labels, num_peers=num_peers, shards_per_peer=partition.label_skew.shards_per_peer, rng=rng
            )
        case "natural":
            column = partition.label_skew.column
            if column not in dataset.columns:
                raise ValueError(
                    f"partition.label_skew.column must be one of {sorted(dataset.columns)}, got {column!r}."
                )
            parts = partition_natural(np.asarray(dataset.columns[column])[pool], num_peers=num_peers, rng=rng)
        case "iid":
            parts = partition_iid(labels, sizes=_sizes(partition, len(pool), rng), rng=rng)
        case "dirichlet":
            parts = partition_dirichlet(
                labels,
                sizes=_sizes(partition, len(pool), rng),
                concentration=partition.label_skew.concentration,
                rng=rng,
            )
        case "classes":
            parts = partition_classes(
                labels,
                sizes=_sizes(partition, len(pool), rng),
                classes_per_peer=partition.label_skew.classes_per_peer,
                rng=rng,
            )
    check_partition(parts, num_samples=len(pool))
    return parts


def _sizes(partition: PartitionConfig, num_samples: int, rng: np.random.Generator) -> _Indices:
    match partition.quantity_skew.kind:
        case "equal":
            return equal_sizes(num_samples, num_peers=partition.num_peers)
        case "dirichlet":
            return dirichlet_sizes(
                num_samples,
                num_peers=partition.num_peers,
                concentration=partition.quantity_skew.concentration,
                min_samples_per_peer=partition.min_samples_per_peer,
                max_attempts=partition.max_attempts,
                rng=rng,
            )


def _own_sets(
    config: ExperimentConfig, labels: _Indices, shares: list[_Indices], *, validation: _Indices, test: _Indices
) -> tuple[list[_Indices], list[_Indices], list[_Indices]]:
    """Return training, own validation and own test set of each peer."""
    num_classes = int(labels.max()) + 1
    trains: list[_Indices] = []
    own_validations: list[_Indices] = []
    own_tests: list[_Indices] = []
    for peer, share in enumerate(shares):
        rng = generator(config.seed, "own", peer)
        if config.partition.own_evaluation == "held_out":
            half = config.partition.held_out_fraction / 2
            train, own_validation, own_test = (
                share[part] for part in split_stratified(labels[share], fractions=[half, half], rng=rng)
            )
        else:
            counts = np.bincount(labels[share], minlength=num_classes)
            train = share
            own_validation = validation[matched_subset(labels[validation], class_counts=counts, rng=rng)]
            own_test = test[matched_subset(labels[test], class_counts=counts, rng=rng)]
        trains.append(np.sort(train))
        own_validations.append(np.sort(own_validation))
        own_tests.append(np.sort(own_test))
    return trains, own_validations, own_tests
