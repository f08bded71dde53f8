"""Data of a peer that come from an earlier run: the whole data set of the run, or the samples of one peer.

Shape suffixes: N = samples, C = channels, H W = image size.
"""

from typing import Final, NamedTuple

import numpy as np

from peerkd.artifacts import references
from peerkd.artifacts.keys import fingerprint
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.given_peers import split_store_address
from peerkd.data.dataset import RawDataset
from peerkd.data.packed import PackedDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.sources.joined import OWNER_COLUMN
from peerkd.data.streamed import open_dataset

_DATASET: Final = "dataset"


class _Stored(NamedTuple):
    dataset: Manifest
    partition: Manifest | None
    """The partition that contains the samples of the peer. None means that the data are the whole data set."""

    peer: int
    """The number of the peer in the partition; 0 if ``partition`` is None."""


def stored_signature(address: str, store: ArtifactStore) -> str:
    """Return a signature of data in the store, which depends only on their content.

    Args:
        address: ``store:dataset/KEY``, or ``store:partition_data/KEY/PEER``.
        store: The store of the run.

    Raises:
        ValueError: If the store has no such artifact, or the partition no such peer.
    """
    dataset, partition, peer = _find(address, store)
    return fingerprint(
        {
            "dataset": dataset.metadata["fingerprint"],
            "partition": None if partition is None else partition.metadata["fingerprint"],
            "peer": peer,
        }
    )


def read_stored(address: str, store: ArtifactStore) -> RawDataset:
    """Return a data set in the store, or the training, own validation and own test samples of one peer.

    Args:
        address: ``store:dataset/KEY``, or ``store:partition_data/KEY/PEER``.
        store: The store of the run.

    Raises:
        ValueError: If the store has no such artifact, the partition no such peer, or the images are not in the store.
    """
    manifest, partition, peer = _find(address, store)
    dataset = open_dataset(store.fetch(manifest.key))
    if not isinstance(dataset, PackedDataset):
        # A ValueError, not a TypeError: the mistake is in the user's config.
        raise ValueError(  # noqa: TRY004
            f"the images must be in the store, got {manifest.key}, which is an index of images in a folder; name the "
            "folder."
        )
    if partition is None:
        first_test = dataset.num_train + dataset.num_validation
        train, validation, test = np.split(np.arange(len(dataset.labels_N)), [dataset.num_train, first_test])
    else:
        assignment = Assignment.load(store.fetch(partition.key))
        train, validation, test = (
            parts[peer] for parts in (assignment.train, assignment.own_validation, assignment.own_test)
        )
    indices_N = np.concatenate([train, validation, test])
    return RawDataset(
        images_NCHW=dataset.read_images(indices_N),
        labels_N=dataset.labels_N[indices_N],
        num_train=len(train),
        num_validation=len(validation),
        class_names=dataset.class_names,
        # Owners are numbers of peers of the earlier run.
        columns={name: column_N[indices_N] for name, column_N in dataset.columns.items() if name != OWNER_COLUMN},
        name=dataset.name,
    )


def _find(address: str, store: ArtifactStore) -> _Stored:
    key, number = split_store_address(address)
    manifest = store.find(key)
    if manifest is None:
        kind = key.partition("/")[0]
        raise ValueError(
            f"the store must have the artifact {key}, and it has not; "
            f"{references.similar_keys(key, store, kinds=(kind,))}."
        )
    if key.startswith(f"{_DATASET}/"):
        return _Stored(manifest, None, 0)
    peer, num_peers = int(number), manifest.metadata["num_peers"]
    if peer >= num_peers:
        raise ValueError(f"the peer must be from 0 to {num_peers - 1} in {key}, got {peer}.")
    return _Stored(references.follow(manifest.metadata["inputs"]["dataset"], store), manifest, peer)
