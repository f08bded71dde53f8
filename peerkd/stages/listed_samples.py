"""The division of a data set by files that list the samples of each peer."""

from typing import Any, Final, NamedTuple

import numpy as np

from peerkd.artifacts.keys import fingerprint
from peerkd.config.data import IndexFiles
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.partition.listed import check_lists, read_indices
from peerkd.stages.hold_out import Indices, hold_out
from peerkd.stages.remote_data import local_file
from peerkd.wording import plural

_FIELD: Final = "partition.label_skew"
_STAGE: Final = "partition_data"
"""The stage that reads the files, for messages."""


class _Lists(NamedTuple):
    """The contents of the index files: lists of the indices of samples, each in ascending order."""

    peers: tuple[Indices, ...]
    validation: Indices | None
    public: Indices | None

    def by_field(self) -> dict[str, Indices]:
        """Return each list, by the name of the config field that names its file."""
        fields = {f"{_FIELD}.files[{peer}]": indices for peer, indices in enumerate(self.peers)}
        others = {"validation_file": self.validation, "public_file": self.public}
        return fields | {f"{_FIELD}.{name}": indices for name, indices in others.items() if indices is not None}


def causes(config: PeerExperimentConfig) -> dict[str, Any]:
    """Return what the index files add to the key of a partition: the fingerprints of their contents.

    Their paths are not part of the key.
    """
    skew = config.partition.label_skew
    if not isinstance(skew, IndexFiles):
        return {}
    return {"lists": fingerprint({field: indices.tolist() for field, indices in _read(skew).by_field().items()})}


def divide_by_lists(
    config: PeerExperimentConfig, skew: IndexFiles, dataset: ImageDataset | RawDataset
) -> tuple[list[Indices], Indices, Indices, Indices]:
    """Return the samples of each peer, and the validation, test and public sets.

    A sample that is held out does not belong to a peer even if the peer's file lists it.

    Raises:
        ValueError: If a file lists an index that no sample has, two files list the same sample, or all samples of a
            peer's file are held out.
        DataSourceError: If a file cannot be read.
    """
    lists = _read(skew)
    check_lists(lists.by_field(), num_samples=dataset.num_train)
    pool, validation, test, public = hold_out(
        config.data,
        dataset,
        seed=config.seed,
        public_fraction=config.partition.public_fraction,
        validation=lists.validation,
        public=lists.public,
    )
    shares = [np.intersect1d(indices, pool) for indices in lists.peers]
    for peer, share in enumerate(shares):
        if not len(share):
            raise ValueError(
                f"{_FIELD}.files[{peer}] must list at least one sample that is not held out, got "
                f"{plural(len(lists.peers[peer]), 'sample')}, all of them held out."
            )
    return shares, validation, test, public


def list_warnings(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[str]:
    """Return warnings about the files that list the samples of each peer.

    There is a warning if samples in a peer's file are held out for validation or testing, and a warning if samples of
    the training split are in no file and in no set. Without such files, the list is empty.
    """
    skew = config.partition.label_skew
    if not isinstance(skew, IndexFiles):
        return []
    lists = _read(skew)
    chosen = np.concatenate(list(lists.by_field().values()))
    held_out = np.concatenate([assignment.validation, assignment.test])
    of_peers = np.concatenate(lists.peers)
    num_held_out = len(np.intersect1d(of_peers, held_out))
    num_unused = len(np.setdiff1d(np.arange(dataset.num_train), np.concatenate([chosen, held_out])))
    warnings = []
    if num_held_out:
        warnings.append(
            f"{num_held_out:,} of the {len(of_peers):,} samples that {_FIELD}.files list are held out for validation "
            f"or testing, and no peer trains on them; {_FIELD}.validation_file names a validation set of your own"
        )
    if num_unused:
        warnings.append(
            f"{plural(num_unused, 'sample')} of the training split {'is' if num_unused == 1 else 'are'} in no file of "
            f"{_FIELD} and in no set"
        )
    return warnings


def _read(skew: IndexFiles) -> _Lists:
    def read(name: str, path: str | None) -> Indices | None:
        if path is None:
            return None
        field = f"{_FIELD}.{name}"
        with local_file(_STAGE, path, field=field) as file:
            return read_indices(file, field=field)

    peers = [read(f"files[{peer}]", path) for peer, path in enumerate(skew.files)]
    return _Lists(
        tuple(indices for indices in peers if indices is not None),
        read("validation_file", skew.validation_file),
        read("public_file", skew.public_file),
    )
