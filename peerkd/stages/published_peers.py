"""The start of a study from peers that an earlier run has published, as ``peers.from`` selects them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from peerkd.artifacts import references
from peerkd.artifacts.store import ArtifactStore, Manifest
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.dataset import ImageDataset, RawDataset
from peerkd.data.packed import raw_fingerprint
from peerkd.data.partition.assignment import Assignment
from peerkd.data.wording import listed
from peerkd.excerpt import plain
from peerkd.stages import collaborate_peers, improve_peers, pretrain_peers
from peerkd.stages.given_peers import NETWORKS_NAME, described_networks
from peerkd.training.inputs import peer_name, student_name
from peerkd.wording import plural

_KINDS: Final = (pretrain_peers.NAME, improve_peers.NAME, collaborate_peers.NAME)


class PublishedPeers(NamedTuple):
    """An artifact with the weights of all peers of an earlier run, and the data on which these peers were trained."""

    manifest: Manifest
    files: tuple[str, ...]
    """The name of the file with the weights of each peer."""

    partition: Manifest
    dataset: Manifest

    def fetch_weights(self, store: ArtifactStore) -> list[Path]:
        """Fetch the artifact, and return the path of the file with the weights of each peer."""
        folder = store.fetch(self.manifest.key)
        return [folder / name for name in self.files]


def find_published(config: PeerExperimentConfig, store: ArtifactStore) -> PublishedPeers | None:
    """Return the peers that ``peers.from`` names; None if the config does not set ``peers.from``.

    Raises:
        ValueError: If the store has no artifact with the key, or the number or the networks of its peers differ from
            the config, or a peer has no weights because its pre-training diverged.
    """
    key = config.peers.from_
    if key is None:
        return None
    manifest = store.find(key)
    if manifest is None:
        raise ValueError(
            f"peers.from must be the key of an artifact in the store with peers, got {key}; "
            f"{references.similar_keys(key, store, kinds=_KINDS)}."
        )
    is_improved = not key.startswith(f"{pretrain_peers.NAME}/")
    peers = references.follow(manifest.metadata["inputs"]["peers"], store) if is_improved else manifest
    records = peers.metadata["peers"]
    if len(records) != config.partition.num_peers:
        raise ValueError(
            f"peers.from must have as many peers as partition.num_peers, {config.partition.num_peers}, got "
            f"{len(records)} in {key}."
        )
    networks = _networks(peers, store)
    for peer, (published, ours) in enumerate(zip(networks, described_networks(config), strict=True)):
        if published != ours:
            raise ValueError(
                f"peers.from must have the networks of the config, which has {_in_words(ours, published)} for "
                f"{config.describe_peer(peer)}, got {_in_words(published, ours)} in {key}."
            )
    stem = student_name if is_improved else peer_name
    files = tuple(f"{stem(peer)}.safetensors" for peer in range(len(records)))
    lacking = [peer for peer, name in enumerate(files) if name not in manifest.files]
    if lacking:
        raise ValueError(
            f"peers.from must have the weights of every peer, got none of {config.describe_peer(lacking[0])} in {key}, "
            "because its pre-training diverged."
        )
    partition = references.follow(peers.metadata["inputs"]["partition"], store)
    dataset = references.follow(partition.metadata["inputs"]["dataset"], store)
    return PublishedPeers(manifest, files, partition, dataset)


def check_same_data(published: PublishedPeers, dataset: ImageDataset | RawDataset, assignment: Assignment) -> None:
    """Check that a study has the data set and the partition with which its published peers were trained.

    If the data set had other classes, the logits would have other meanings. If the images had another mean, they would
    be normalised differently. With another partition, samples on which a peer was trained might be test samples.

    Raises:
        ValueError: If the data set or the partition differs.
    """
    key, names = published.manifest.key, tuple(published.dataset.metadata["class_names"])
    if names != dataset.class_names:
        raise ValueError(
            f"peers.from must have the classes of the data set, {listed(dataset.class_names)}, got {listed(names)} in "
            f"{key}."
        )
    fingerprint = raw_fingerprint(dataset) if isinstance(dataset, RawDataset) else dataset.fingerprint
    if fingerprint != published.dataset.metadata["fingerprint"]:
        raise ValueError(
            f"peers.from must be trained on this data set, got peers of another one in {key}; give their files as "
            "weights in peers.given, with the mean and std of their images."
        )
    if assignment.fingerprint != published.partition.metadata["fingerprint"]:
        raise ValueError(
            f"peers.from must be trained on this partition of the data set, got peers of another one in {key}, which "
            "may have been trained on what is test data here; set seed, data and partition as in the run that "
            "published them."
        )


def _networks(peers: Manifest, store: ArtifactStore) -> list[dict[str, Any]]:
    """Return the networks of an artifact with peers as JSON values, one for each peer."""
    if NETWORKS_NAME in peers.files:
        text = (store.fetch(peers.key) / NETWORKS_NAME).read_text(encoding="utf-8")
        networks: list[dict[str, Any]] = json.loads(text)
        return networks
    return [{"network": record["architecture"]} for record in peers.metadata["peers"]]


def _in_words(network: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the name of a network and, for each field in which it differs from another one, its value."""
    names = sorted({*network, *other} - {"network"})
    differing = [name for name in names if network.get(name) != other.get(name)]
    values = [_value_in_words(name, network.get(name), other.get(name)) for name in differing]
    return plain(f"{network['network']}{' with ' * bool(values)}{listed(values)}")


def _value_in_words(name: str, value: Any, other: Any) -> str:
    if value is None:
        return f"no {name}"
    if not isinstance(value, list):
        return f"{name}={value}"
    if not isinstance(other, list) or len(other) != len(value):
        return f"{name} of {plural(len(value), 'entry', 'entries')}"
    place = next(place for place, entry in enumerate(value) if entry != other[place])
    return f"{name}[{place}]={value[place]}"
