"""The division of a data set among the peers.

The global validation and test sets and the public set are held out first. Then the remaining samples are divided among
the peers, and each peer gets evaluation sets with its own distribution of classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from peerkd.arrays import BoolArray
from peerkd.config.architectures import check_image_size
from peerkd.config.data import (
    ClassesPerPeer,
    DirichletLabels,
    IidLabels,
    IndexFiles,
    NaturalIds,
    OwnLabels,
    PartitionConfig,
    ShardsPerPeer,
)
from peerkd.config.given_peers import class_indices
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.checks import check_partition
from peerkd.data.partition.classes import partition_classes
from peerkd.data.partition.dirichlet import partition_dirichlet
from peerkd.data.partition.iid import partition_iid
from peerkd.data.partition.natural import find_missing, partition_natural
from peerkd.data.partition.own import partition_by_own_function
from peerkd.data.partition.quantity import dirichlet_sizes, equal_sizes
from peerkd.data.partition.scarcity import find_scarcities, small_training_sets
from peerkd.data.partition.shards import partition_shards
from peerkd.data.partition.split import matched_subset, split_stratified
from peerkd.data.skipped import MissingSamplesError
from peerkd.data.wording import listed
from peerkd.seeds import generator
from peerkd.stages.given_check import check_classes
from peerkd.stages.hold_out import Indices, hold_out
from peerkd.stages.listed_samples import divide_by_lists, list_warnings
from peerkd.stages.peer_data import divide_by_owner
from peerkd.stages.peer_names import names_of_origins
from peerkd.stages.seen_samples import seen_warnings
from peerkd.study.splits import EvaluationSets, NumSamples, have_equal_proportions
from peerkd.wording import plural

_SkewByLabels: TypeAlias = IidLabels | DirichletLabels | ClassesPerPeer | ShardsPerPeer | OwnLabels


def divide(config: PeerExperimentConfig, dataset: ImageDataset | RawDataset) -> Assignment:
    """Return the assignment of samples to peers.

    Raises:
        ValueError: If the data set cannot be divided as the config requires, or its images do not fit an architecture.
    """
    for network in config.networks:
        num_channels, *sides = dataset.image_shape
        height, width = (network.image_size_pixels or side for side in sides)
        check_image_size(network.name, (num_channels, height, width))
    if config.has_peer_data:
        train, own_validation, own_test, validation, test, public = divide_by_owner(config, dataset)
    else:
        skew = config.partition.label_skew
        if isinstance(skew, IndexFiles):
            shares, validation, test, public = divide_by_lists(config, skew, dataset)
        else:
            pool, validation, test, public = hold_out(
                config.data, dataset, seed=config.seed, public_fraction=config.partition.public_fraction
            )
            shares = [np.sort(pool[part]) for part in _parts(config, skew, dataset, pool)]
        train, own_validation, own_test = _own_sets(config, dataset, shares, validation=validation, test=test)
    _check_min_samples(config, train)
    check_classes(config, np.asarray(dataset.labels_N), train, class_names=dataset.class_names)
    return Assignment(
        train=tuple(train),
        own_validation=tuple(own_validation),
        own_test=tuple(own_test),
        validation=np.sort(validation),
        test=np.sort(test),
        public=np.sort(public),
    )


def division_warnings(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[str]:
    """Return warnings about a partition, each a sentence.

    There is a warning if a kind of set, or a class, has so few samples that results will be noisy. If files list the
    samples of each peer, there is also a warning about samples that are both listed and held out, and a warning about
    samples that belong to no set. If peers are given, there are warnings about evaluation samples on which they may
    have been trained.
    """
    scarcities = find_scarcities(
        np.asarray(dataset.labels_N),
        assignment,
        class_names=dataset.class_names,
        peer_names=[peer.name for peer in config.peers.given] or names_of_origins(config, dataset, assignment),
        fields=_fields_of_own_sets(config, dataset, assignment),
        is_known_PK=_known_classes(config, dataset.class_names),
    )
    return [*list_warnings(config, dataset, assignment), *seen_warnings(config, dataset, assignment), *scarcities]


def _known_classes(config: PeerExperimentConfig, class_names: Sequence[str]) -> BoolArray:
    """Return whether the network of each of the P peers knows each of the K classes, shape (P, K)."""
    is_known_PK = np.ones((len(config.networks), len(class_names)), dtype=np.bool_)
    for peer, network in enumerate(config.networks):
        if network.classes is not None:
            is_known_PK[peer] = False
            is_known_PK[peer, class_indices(network.classes, class_names)] = True
    return is_known_PK


def _fields_of_own_sets(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> dict[str, str]:
    """Return the field that sets the sizes of the peers' own sets, by split. A split that no field sets is omitted.

    Samples of the training split in an evaluation set were held out, unless files list the validation samples.
    """
    partition = config.partition
    if partition.own_evaluation == "held_out" and not config.has_peer_data:
        return dict.fromkeys(("validation", "test"), "partition.held_out_fraction")
    skew = partition.label_skew
    is_listed = isinstance(skew, IndexFiles) and skew.validation_file is not None
    splits = {} if is_listed else {"validation": assignment.own_validation}
    return {
        split: f"data.{split}_fraction"
        for split, own_sets in {**splits, "test": assignment.own_test}.items()
        if any((own < dataset.num_train).any() for own in own_sets)
    }


def batch_warnings(config: PeerExperimentConfig, sizes_P: Indices, *, peer_names: Sequence[str] = ()) -> list[str]:
    """Return a warning for each batch size of an experiment that is larger than a peer's training set.

    The batch sizes are not part of a partition, so these warnings are not published with it. A peer without a given
    name is called by its entry in ``peer_names``, or by its number if ``peer_names`` is empty.
    """
    names = [peer.name for peer in config.peers.given] or peer_names
    return small_training_sets(sizes_P, config.batch_sizes, peer_names=names)


def _parts(
    config: PeerExperimentConfig, skew: NaturalIds | _SkewByLabels, dataset: ImageDataset | RawDataset, pool: Indices
) -> list[Indices]:
    """Divide the samples of ``pool`` among the peers, and return each peer's positions in ``pool``."""
    partition = config.partition
    num_peers = partition.num_peers
    labels = np.asarray(dataset.labels_N)[pool]
    if num_peers * partition.min_samples_per_peer > len(pool):
        raise MissingSamplesError(_too_many_peers(partition, len(pool)))
    rng = generator(config.seed, "partition")
    if isinstance(skew, NaturalIds):
        parts = partition_natural(_ids(partition, skew.column, dataset, pool), num_peers=num_peers, rng=rng)
    else:
        parts = _skewed_parts(partition, skew, labels, rng)
    check_partition(parts, num_samples=len(pool))
    return parts


def _skewed_parts(
    partition: PartitionConfig,
    skew: _SkewByLabels,
    labels: Indices,
    rng: np.random.Generator,
) -> list[Indices]:
    if isinstance(skew, ShardsPerPeer):
        with _errors_name("partition.label_skew"):
            return partition_shards(
                labels, num_peers=partition.num_peers, shards_per_peer=skew.shards_per_peer, rng=rng
            )
    with _errors_name("partition.quantity_skew"):
        sizes = _sizes(partition, len(labels), rng)
    with _errors_name("partition.label_skew"):
        match skew:
            case IidLabels():
                return partition_iid(labels, sizes=sizes, rng=rng)
            case DirichletLabels(concentration=concentration):
                return partition_dirichlet(labels, sizes=sizes, concentration=concentration, rng=rng)
            case ClassesPerPeer(classes_per_peer=classes_per_peer):
                return partition_classes(labels, sizes=sizes, classes_per_peer=classes_per_peer, rng=rng)
            case OwnLabels(function=function, options=options):
                return partition_by_own_function(labels, sizes=sizes, rng=rng, function=function, options=options)


@contextmanager
def _errors_name(field: str) -> Iterator[None]:
    """Add the name of a config field to the beginning of each ``ValueError`` message raised in the ``with`` block."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


def _too_many_peers(partition: PartitionConfig, num_samples: int) -> str:
    """Return the error message for too many peers. It proposes numbers of peers or samples that are possible."""
    num_peers, minimum = partition.num_peers, partition.min_samples_per_peer
    if num_samples // minimum >= 2:
        return (
            f"partition.num_peers must be at most {num_samples // minimum}, so that each has "
            f"{minimum} of the {num_samples:,} training samples, got {num_peers:,}."
        )
    if num_samples >= 2 * num_peers:
        return (
            f"partition.min_samples_per_peer must be at most {num_samples // num_peers}, so that {num_peers:,} peers "
            f"can share the {num_samples:,} training samples, got {minimum}."
        )
    return (
        f"data.path must have at least {num_peers * minimum:,} training samples for {num_peers:,} peers "
        f"(partition.num_peers) with {minimum} each (partition.min_samples_per_peer), got {num_samples:,}."
    )


def _ids(
    partition: PartitionConfig, column: str, dataset: ImageDataset | RawDataset, pool: Indices
) -> npt.NDArray[Any]:
    """Return the natural id of each sample in ``pool``, which is the sample's value in a column of the data set."""
    field = "partition.label_skew.column"
    if column not in dataset.columns:
        known = (
            f"must be one of {sorted(dataset.columns)}"
            if dataset.columns
            else "needs a data set with columns; set data.columns_path to a CSV file"
        )
        raise ValueError(f"{field} {known}, got {column!r}.")
    values = np.asarray(dataset.columns[column])
    # The seed decides which samples of the training split are held out for evaluation, and must not decide whether the
    # data are accepted.
    is_missing = find_missing(values[: dataset.num_train])
    if is_missing.any():
        first = int(is_missing.argmax())
        raise ValueError(
            f"{field} must have a value for every sample of the training split, those held out for evaluation "
            f"included, got {np.count_nonzero(is_missing):,} of {dataset.num_train:,} without one in {column}, the "
            f"first {values[first].item()!r} for sample {first}."
        )
    ids: npt.NDArray[Any] = values[pool]
    num_ids = len(np.unique(ids))
    if num_ids < partition.num_peers:
        raise MissingSamplesError(
            f"{field} must have a value for each of the {partition.num_peers:,} peers (partition.num_peers), "
            f"got {num_ids:,} distinct values in {column}; set partition.num_peers={num_ids}."
        )
    return ids


def _sizes(partition: PartitionConfig, num_samples: int, rng: np.random.Generator) -> Indices:
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
    config: PeerExperimentConfig,
    dataset: ImageDataset | RawDataset,
    shares: list[Indices],
    *,
    validation: Indices,
    test: Indices,
) -> tuple[list[Indices], list[Indices], list[Indices]]:
    """Return the training, own validation and own test set of each peer.

    Args:
        config: The experiment.
        dataset: The data set.
        shares: The indices of each peer's samples.
        validation: The indices of the global validation set.
        test: The indices of the global test set.
    """
    labels = np.asarray(dataset.labels_N)
    num_classes = int(labels.max()) + 1
    partition = config.partition
    trains: list[Indices] = []
    own_validations: list[Indices] = []
    own_tests: list[Indices] = []
    for peer, share in enumerate(shares):
        rng = generator(config.seed, "own", peer)
        if partition.own_evaluation == "held_out":
            half = partition.held_out_fraction / 2
            train, own_validation, own_test = (
                share[part] for part in split_stratified(labels[share], fractions=[half, half], rng=rng)
            )
            if not len(own_validation) or not len(own_test):
                raise MissingSamplesError(
                    "partition.held_out_fraction must give every peer at least one validation and one test sample of "
                    f"its own, got {partition.held_out_fraction} of the {len(share):,} samples of peer {peer}."
                )
        else:
            counts = np.bincount(labels[share], minlength=num_classes)
            train = share
            for everyone, what in ((validation, "validation"), (test, "test")):
                if not counts[labels[everyone]].any():
                    names = listed([dataset.class_names[k] for k in np.flatnonzero(counts)])
                    raise MissingSamplesError(
                        f"partition.own_evaluation must be held_out if the {what} set has no sample of a peer's "
                        f"classes, got matched, and peer {peer} has only {names}."
                    )
            own_validation = validation[matched_subset(labels[validation], class_counts=counts, rng=rng)]
            own_test = test[matched_subset(labels[test], class_counts=counts, rng=rng)]
        trains.append(np.sort(train))
        own_validations.append(np.sort(own_validation))
        own_tests.append(np.sort(own_test))
    return trains, own_validations, own_tests


def _check_min_samples(config: PeerExperimentConfig, trains: Sequence[Indices]) -> None:
    """Check that every peer has ``partition.min_samples_per_peer`` training samples.

    Raises:
        ValueError: If a peer has fewer training samples.
    """
    partition = config.partition
    sizes = np.array([len(train) for train in trains])
    num_small = int(np.count_nonzero(sizes < partition.min_samples_per_peer))
    if not num_small:
        return
    fixes = ["lower partition.min_samples_per_peer"]
    if config.has_peer_data:
        fixes += [f"add samples to peers.given[{sizes.argmin()}].data", "leave out the peer"]
    else:
        fixes.append("lower partition.num_peers")
        if partition.own_evaluation == "held_out":
            fixes.append("lower partition.held_out_fraction")
        if partition.label_skew.kind in ("dirichlet", "classes"):
            fixes.append("choose a milder partition.label_skew")
    raise MissingSamplesError(
        f"partition.min_samples_per_peer must be met by every peer, got {plural(num_small, 'peer')} with fewer than "
        f"{partition.min_samples_per_peer} training samples; peer {sizes.argmin()} has the fewest, {sizes.min()}. "
        f"Possible fixes: {', '.join(fixes)}."
    )


def evaluation_sets(sizes: Mapping[str, Any]) -> list[EvaluationSets]:
    """Return the sizes of the evaluation sets of each peer, from the metadata of a partition."""
    # A partition of an earlier version has no counts.
    validation_K, test_K = (tuple(sizes.get(f"{split}_class_counts", ())) for split in ("validation", "test"))
    is_stratified = bool(validation_K) and have_equal_proportions(validation_K, test_K)
    return [
        EvaluationSets(
            validation=NumSamples(sizes["num_validation"], own_validation, validation_K if is_stratified else None),
            test=NumSamples(sizes["num_test"], own_test, test_K if is_stratified else None),
        )
        for own_validation, own_test in zip(sizes["num_own_validation"], sizes["num_own_test"], strict=True)
    ]
