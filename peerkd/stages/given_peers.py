"""The networks and weights of peers that a user or an earlier run provides, as later stages read them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.peer_experiment import PeerExperimentConfig

NETWORKS_NAME: Final = "networks.json"
"""The name of the file with the networks of the peers, in an artifact with peers that a user or an earlier run
provides."""

WEIGHTS: Final = "weights"
"""The word for weights that a user or an earlier run provides. It is the kind of the artifacts with these weights, the
name of the file in such an artifact without its ending, and the name under which the manifest of a partition lists
these artifacts."""


def published_weights(partition: Manifest) -> list[Mapping[str, str] | None]:
    """Return the reference to the weights that were provided for each peer, from the manifest of a partition.

    The list is empty if no weights were provided.
    """
    return list(partition.metadata.get("inputs", {}).get(WEIGHTS, []))


def fetch_weights(partition: Manifest, store: ArtifactStore) -> tuple[Path | None, ...]:
    """Fetch the provided weights of peers. Return the file of each peer, and None for a peer without weights."""
    return tuple(
        None if reference is None else _file_of(reference, store) for reference in published_weights(partition)
    )


def _file_of(reference: Mapping[str, str], store: ArtifactStore) -> Path:
    manifest = references.follow(reference, store)
    (name,) = manifest.files
    return store.fetch(manifest.key) / name


def causes(config: PeerExperimentConfig, partition: Manifest) -> dict[str, Any]:
    """Return what the networks and weights of the peers add to the key of the artifact with the peers.

    The result is empty unless a user or an earlier run provides the peers.
    """
    if not has_given_networks(config):
        return {}
    return {
        "networks": described_networks(config),
        "weights": [reference and reference["fingerprint"] for reference in published_weights(partition)],
    }


def has_given_networks(config: PeerExperimentConfig) -> bool:
    """Return whether the artifact with the peers describes their networks.

    This is the case if a user or an earlier run provides the peers.
    """
    return bool(config.peers.given) or config.peers.from_ is not None


def described_networks(config: PeerExperimentConfig) -> list[dict[str, Any]]:
    """Return the network of each peer as JSON values."""
    return [network.describe() for network in config.networks]
