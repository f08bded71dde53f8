"""What each peer is called: the name that the user has given it, the origin of its samples, or else its number."""

from pathlib import PurePosixPath
from typing import Final

import numpy as np

from peerkd.artifacts.store import Manifest
from peerkd.config.data import IndexFiles, NaturalIds
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.excerpt import plain

_MAX_CHARACTERS: Final = 40


def peer_names(config: PeerExperimentConfig, partition: Manifest) -> tuple[str, ...]:
    """Return what each peer is called in reports."""
    if config.peers.given:
        return tuple(peer.name for peer in config.peers.given)
    numbers = map(str, range(config.partition.num_peers))
    return tuple(partition.metadata.get("peer_names", numbers))


def names_of_origins(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[str]:
    """Return the origin of each peer's samples: their value in the column of ids, or the file that lists them.

    The list is empty if the peers have no such origins, or if the origins would not tell all peers apart.
    """
    skew = config.partition.label_skew
    if config.peers.given or not isinstance(skew, NaturalIds | IndexFiles):
        return []
    if isinstance(skew, IndexFiles):
        origins = [PurePosixPath(file).stem for file in skew.files]
        noun = "file"
    else:
        ids_N = np.asarray(dataset.columns[skew.column])
        own = [np.unique(ids_N[samples]).tolist() for samples in assignment.train]
        origins = [str(each[0]) for each in own if len(each) == 1]
        noun = skew.column
    # A number alone would look like the number of a peer.
    names = [plain(f"{noun} {origin}" if origin.isdigit() else origin, limit=_MAX_CHARACTERS) for origin in origins]
    return names if len(set(names)) == config.partition.num_peers else []
