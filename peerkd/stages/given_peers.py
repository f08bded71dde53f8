"""The peers that a user brings, as later stages find them: their networks, and their weights in the store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.experiment import ExperimentConfig

NETWORKS_NAME: Final = "networks.json"
"""The file of an artifact with peers that describes the networks of given peers."""

WEIGHTS: Final = "weights"
"""The noun of artifacts with given weights, the stem of their file, and the name of a partition's references."""


def published_weights(partition: Manifest) -> list[Mapping[str, str] | None]:
    """Return the references to the weights of the given peers of a partition; empty if it has none."""
    return list(partition.metadata.get("inputs", {}).get(WEIGHTS, []))


def fetch_weights(partition: Manifest, store: ArtifactStore) -> tuple[Path | None, ...]:
    """Return the file with the weights of each given peer, fetched from the store."""
    return tuple(
        None if reference is None else _file_of(reference, store) for reference in published_weights(partition)
    )


def _file_of(reference: Mapping[str, str], store: ArtifactStore) -> Path:
    manifest = references.follow(reference, store)
    (name,) = manifest.files
    return store.fetch(manifest.key) / name


def causes(config: ExperimentConfig, partition: Manifest) -> dict[str, Any]:
    """Return what the given peers add to the key of the peers: their networks, and the contents of their weights."""
    if not config.peers.given:
        return {}
    return {
        "networks": described_networks(config),
        "weights": [reference and reference["fingerprint"] for reference in published_weights(partition)],
    }


def described_networks(config: ExperimentConfig) -> list[dict[str, Any]]:
    """Return the network of each peer as values of JSON."""
    return [network.describe() for network in config.networks]
