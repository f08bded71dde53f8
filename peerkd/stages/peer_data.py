"""Experiments in which each peer has a data set of its own. A user gives the path of each peer's data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from peerkd.arrays import IntArray
from peerkd.artifacts import keys
from peerkd.artifacts.store import ArtifactStore
from peerkd.config.given_peers import STORE_SCHEME
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.split import split_stratified
from peerkd.data.skipped import MissingSamplesError
from peerkd.data.sources import read_source
from peerkd.data.sources.folders import is_hidden
from peerkd.data.sources.joined import COMMON, OWNER_COLUMN, OwnedDataset, join_datasets
from peerkd.data.streamed import StreamedDataset, open_dataset
from peerkd.data.wording import printable
from peerkd.errors import DataSourceError
from peerkd.seeds import generator
from peerkd.stages.dataset import Source, open_source, pixel_rules, read_dataset, reading_progress
from peerkd.stages.remote_data import data_signature, local_data
from peerkd.stages.stored_data import read_stored, stored_signature


def open_data(stage: str, config: PeerExperimentConfig, *, store: ArtifactStore) -> Source:
    """Open the data of an experiment in the store if they have been published, otherwise read them from their sources.

    Raises:
        ValueError: If the config does not fit a source.
        DataSourceError: If a source is missing or damaged, or the data sets of two peers do not fit together.
    """
    if not config.has_peer_data:
        return open_source(stage, config.data, seed=config.seed, store=store)
    artifact = key(config, stage=stage, store=store)
    published = store.find(artifact)
    dataset = open_dataset(store.fetch(artifact)) if published else read_data(stage, config, store=store)
    return Source(dataset, artifact, published)


def read_data(
    stage: str, config: PeerExperimentConfig, *, store: ArtifactStore | None = None
) -> RawDataset | StreamedDataset:
    """Read the data of an experiment from their sources.

    If the peers have no data sets of their own, the only data set of the config is read. Otherwise the data sets of all
    peers are joined to one data set, together with the common data set if the config names one.

    Args:
        stage: The name of the stage, for messages.
        config: The experiment.
        store: The store of the run, which only peers with data in the store need.

    Raises:
        ValueError: If the config does not fit a source.
        DataSourceError: If a source is missing or damaged, or the data sets of two peers do not fit together.
    """
    if not config.has_peer_data:
        return read_dataset(stage, config.data, seed=config.seed)
    parts = [_read_peer(stage, config, peer, store=store) for peer in range(len(config.peers.given))]
    if config.data.source != "peers":
        data = config.data
        if data.source != "image_folder":
            # Only the images of the peers are resized.
            data = data.model_copy(update={"image_size_pixels": None})
        common = read_dataset(stage, data, seed=config.seed)
        assert isinstance(common, RawDataset)
        parts.append(OwnedDataset(COMMON, "the common data set", common))
    return join_datasets(parts)


def _read_peer(stage: str, config: PeerExperimentConfig, peer: int, *, store: ArtifactStore | None) -> OwnedDataset:
    given = config.peers.given[peer]
    assert given.data is not None
    rules, progress = pixel_rules(config.data), reading_progress(stage)
    with _naming_field(peer):
        if given.data.startswith(STORE_SCHEME):
            assert store is not None
            return OwnedDataset(peer, given.name, read_stored(given.data, store))
        with local_data(stage, given.data, progress=progress) as address:
            assert address is not None
            is_arrays = _has_arrays(Path(address).expanduser())
            raw = read_source(
                "npz" if is_arrays else "image_folder",
                path=address,
                rules=rules._replace(image_size_pixels=None) if is_arrays else rules,
                skip_damaged=config.data.skip_damaged,
                progress=progress,
            )
    return OwnedDataset(peer, given.name, raw)


def _has_arrays(path: Path) -> bool:
    """Return whether a data set is an npz file or a folder of npy files, and not a folder of images.

    Raises:
        DataSourceError: If it is a file of another kind.
    """
    if path.is_file() and path.suffix.lower() != ".npz":
        raise DataSourceError(
            f"it must be a folder of images, an npz file or a folder of npy files, got the file {printable(str(path))}."
        )
    return path.is_file() or (path.is_dir() and any(not is_hidden(file.name) for file in path.glob("*.npy")))


@contextmanager
def _naming_field(peer: int) -> Iterator[None]:
    """Add the config field with the data of a peer to the beginning of each error message raised in the ``with`` block.

    For the first peer, the field is ``peers.given[0].data``.
    """
    try:
        yield
    except (ValueError, DataSourceError) as error:
        field = f"peers.given[{peer}].data"
        message = str(error).removeprefix("data.path: ").replace("data.path", field)
        raise type(error)(f"{field}: {message}") from error


def key(config: PeerExperimentConfig, *, stage: str, store: ArtifactStore) -> str:
    """Return the key of the joined data sets of all peers. It covers the config and the files of all sources.

    Raises:
        ValueError: If the config names data in the store that the store does not have.
    """
    data, given = config.data, config.peers.given
    return keys.key(
        "dataset",
        {
            "signatures": [_signature(stage, config, peer, store=store) for peer in range(len(given))],
            # The remarks on a data set contain the names of the peers.
            "names": [peer.name for peer in given],
            "common": None
            if data.source == "peers"
            else data_signature(stage, data.path, is_flat=data.source == "npz"),
            "config": keys.differences(data, without=("path", "test_fraction", "validation_fraction")),
        },
    )


def _signature(stage: str, config: PeerExperimentConfig, peer: int, *, store: ArtifactStore) -> str | None:
    address = config.peers.given[peer].data
    with _naming_field(peer):
        if address is not None and address.startswith(STORE_SCHEME):
            return stored_signature(address, store)
        return data_signature(stage, address)


def divide_by_owner(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset
) -> tuple[list[IntArray], list[IntArray], list[IntArray], IntArray, IntArray, IntArray]:
    """Divide joined data: each peer gets the samples of its own data set.

    If the data set of a peer has a validation or a test split, that split is used. Otherwise
    ``data.validation_fraction`` or ``data.test_fraction`` of its samples are held out. If there is a common data set,
    its validation and test splits are the global sets, and its training split is the public set. Without a common data
    set, the global sets are the unions of the peers' own sets.

    Returns:
        The training, own validation and own test samples, each as a list by peer, and the global validation, global
            test and public samples, all as indices.

    Raises:
        ValueError: If a split of a peer or of the common data set would be empty, or all training samples are of one
            class.
    """
    owners_N = np.asarray(dataset.columns[OWNER_COLUMN])
    trains, validations, tests = [], [], []
    for peer in range(len(config.peers.given)):
        train, validation, test = _splits(config, dataset, owners_N, peer)
        trains.append(train)
        validations.append(validation)
        tests.append(test)
    if (owners_N == COMMON).any():
        public, validation, test = _splits(config, dataset, owners_N, COMMON)
    else:
        public = np.empty(0, np.int64)
        validation, test = np.sort(np.concatenate(validations)), np.sort(np.concatenate(tests))
    trained = np.unique(np.asarray(dataset.labels_N)[np.concatenate(trains)])
    if len(trained) < 2:
        raise MissingSamplesError(
            "peers.given must have training samples of at least 2 classes together, got only samples of class "
            f"{dataset.class_names[trained[0]]}."
        )
    return trains, validations, tests, validation, test, public


def _splits(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, owners_N: IntArray, owner: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Return the training, validation and test samples of a peer or, if ``owner`` is COMMON, of the common data set."""
    labels = np.asarray(dataset.labels_N)
    indices = np.flatnonzero(owners_N == owner)
    first_test = dataset.num_train + dataset.num_validation
    train = indices[indices < dataset.num_train]
    validation = indices[(indices >= dataset.num_train) & (indices < first_test)]
    test = indices[indices >= first_test]
    if not len(test):
        train, test = _cut(train, labels, config.data.test_fraction, generator(config.seed, "test", owner + 1))
    if not len(validation):
        train, validation = _cut(
            train, labels, config.data.validation_fraction, generator(config.seed, "hold out", owner + 1)
        )
    for split, fraction, part in (
        ("test", f"data.test_fraction of {config.data.test_fraction}", test),
        ("validation", f"data.validation_fraction of {config.data.validation_fraction}", validation),
        ("training", "rest", train),
    ):
        if not len(part):
            field = "data.path" if owner == COMMON else f"peers.given[{owner}].data"
            raise MissingSamplesError(
                f"{field} must have at least one {split} sample, got none of {len(indices):,} samples with the "
                f"{fraction}; add samples, or a {split} split."
            )
    return train, validation, test


def _cut(indices: IntArray, labels: IntArray, fraction: float, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    if not len(indices):
        return indices, indices
    rest, part = split_stratified(labels[indices], fractions=[fraction], rng=rng)
    return indices[rest], indices[part]
