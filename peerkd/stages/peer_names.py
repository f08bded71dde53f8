"""What each peer is called: the name that the user has given it, the origin of its samples, or else its number."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

import numpy as np

from peerkd.artifacts.store import Manifest
from peerkd.config.data import IndexFiles, NaturalIds
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.data.wording import listed
from peerkd.excerpt import plain
from peerkd.suggestions import did_you_mean, near

_MAX_CHARACTERS: Final = 40
_NUM_SHOWN: Final = 10
"""The largest number of peers whose values a sentence lists."""


def peer_names(config: PeerExperimentConfig, partition: Manifest) -> tuple[str, ...]:
    """Return what each peer is called in reports."""
    if config.peers.given:
        return tuple(peer.name for peer in config.peers.given)
    numbers = map(str, range(config.partition.num_peers))
    return tuple(partition.metadata.get("peer_names", numbers))


def find_peer(field: str, peer: int | str, names: Sequence[str]) -> int:
    """Return the number of the peer that a user gives by name or by number.

    If a text is the name of a peer and also a number, it counts as the name. A given number is returned unchanged, even
    if no peer has it.

    Args:
        field: The name of the option, for the message.
        peer: The name or the number.
        names: The names of all peers, as ``peer_names`` returns them.

    Raises:
        ValueError: If the text is neither a name of a peer nor a number.
    """
    if isinstance(peer, int):
        return peer
    if peer in names:
        return names.index(peer)
    if re.fullmatch("-?[0-9]{1,9}", peer):
        return int(peer)
    meant = did_you_mean(near(peer, names)) or f" (its peers are {listed(names)})"
    raise ValueError(f"{field} must be the name or the number of a peer of the study, got {plain(peer)}{meant}.")


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


def names_of_peers(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[str]:
    """Return what each peer is called before the partition is published."""
    if config.peers.given:
        return [peer.name for peer in config.peers.given]
    return names_of_origins(config, dataset, assignment) or [str(peer) for peer in range(config.partition.num_peers)]


def shared_origins(
    config: PeerExperimentConfig, dataset: ImageDataset | RawDataset, assignment: Assignment
) -> list[str]:
    """Return a sentence on which values of the column of ids each peer has, if there are more values than peers.

    Otherwise, the list is empty.
    """
    skew = config.partition.label_skew
    if config.peers.given or not isinstance(skew, NaturalIds):
        return []
    ids_N = np.asarray(dataset.columns[skew.column])
    own = [np.unique(ids_N[samples]).tolist() for samples in assignment.train]
    num_values = sum(map(len, own))
    if num_values == len(own):
        return []
    shares = [f"peer {peer} has {listed(values)}" for peer, values in enumerate(own)]
    return [
        f"the {num_values:,} values of {skew.column} are divided among {len(own):,} peers (partition.num_peers): "
        f"{listed(shares, num_named=_NUM_SHOWN, separator='; ')}"
    ]
