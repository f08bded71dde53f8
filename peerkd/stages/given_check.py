"""The check of peers whose networks or weights a user provides. It takes place before anything is trained."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np

from peerkd.arrays import IntArray
from peerkd.artifacts.store import file_sha256
from peerkd.config.architectures import network_modules
from peerkd.config.given_peers import PeerNetwork, class_indices
from peerkd.config.peer_experiment import PeerExperimentConfig
from peerkd.data.sources.joined import doubtful_names
from peerkd.data.wording import listed
from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import MAX_TEMPERATURE
from peerkd.metrics.progress import print_line
from peerkd.stages.given_weights import Weights, file_sizes
from peerkd.training.inputs import CheckInputs
from peerkd.training.process_pool import run_in_processes


def check_given_peers(
    config: PeerExperimentConfig,
    weights: Weights,
    *,
    image_shape_CHW: tuple[int, int, int],
    class_names: Sequence[str],
    stage: str,
    remarks: Sequence[str] = (),
    num_processes: int = 1,
) -> None:
    """Check the networks and the weights that the user provides for peers.

    Each network is built, and compared with the images and the classes of the data set and with the weights of its
    peer.

    Where torch is not installed, the check is left to the workers, which do it before they train anything.

    Args:
        config: The experiment.
        weights: For each peer, the file with the weights that the user provides; None for a peer without such a file.
        image_shape_CHW: The shape of the images of the data set.
        class_names: The names of the classes of the data set.
        stage: The name of the stage, for messages.
        remarks: The remarks on the data set. Those on similar names of classes become part of the error if weights have
            another number of outputs than the study has classes.
        num_processes: 1 means to check in a separate process, 0 in the calling process.

    Raises:
        ValueError: If a network or its weights are not usable. Before the error is raised, all tensors that do not fit
            are printed.
    """
    if not config.peers.given:
        return
    if find_spec("torch") is None:
        print_line(stage, "torch is not installed here, so networks and weights are checked when pretrain_peers begins")
        return
    inputs = CheckInputs(
        networks=config.networks,
        weights=tuple(weights),
        image_shape_CHW=image_shape_CHW,
        class_names=tuple(class_names),
        doubtful_names=doubtful_names(remarks),
    )
    # Peers that are alike have the same result, so only the first of them is checked.
    groups = [(peers, peers[0]) for peers in _alike(config.networks, weights)]
    for peers, line in run_in_processes(
        "peerkd.training.check_peers:start",
        (inputs,),
        groups,
        num_processes=num_processes,
        preload=network_modules(config.architectures),
    ):
        for peer in peers:
            print_line(stage, f"{config.describe_peer(peer)}: {line}")


def _alike(networks: Sequence[PeerNetwork], weights: Weights) -> list[list[int]]:
    """Return the groups of peers that have the same network and files of weights with the same content."""
    paths: defaultdict[tuple[PeerNetwork, int | None], set[Path | None]] = defaultdict(set)
    sizes = file_sizes(weights)
    for key, path in zip(zip(networks, sizes, strict=True), weights, strict=True):
        paths[key].add(path)
    sha256 = cache(file_sha256)
    groups: defaultdict[tuple[PeerNetwork, int | None, str], list[int]] = defaultdict(list)
    for peer, (network, size, path) in enumerate(zip(networks, sizes, weights, strict=True)):
        # Only files of one size can have the same content.
        digest = sha256(path) if path is not None and len(paths[network, size]) > 1 else ""
        groups[network, size, digest].append(peer)
    return list(groups.values())


def check_classes(
    config: PeerExperimentConfig, labels_N: IntArray, train: Sequence[IntArray], *, class_names: Sequence[str]
) -> None:
    """Check that the config names classes of the data set, and that peers whose networks lack classes can take part.

    Args:
        config: The experiment.
        labels_N: The class of each sample.
        train: The training samples of each peer.
        class_names: The names of the K classes.

    Raises:
        ValueError: If the config or a network names a class that the data set does not have, if two peers have no class
            in common, if a peer has no training sample of a class that its network knows, if a peer without weights has
            one of a class that its network does not know, or if the loss or a
            temperature does not allow networks that lack classes.
    """
    config.check_num_classes(len(class_names))
    known: list[set[int]] = []
    for peer, network in enumerate(config.networks):
        try:
            known.append(
                set(range(len(class_names)) if network.classes is None else class_indices(network.classes, class_names))
            )
        except ValueError as error:
            raise ValueError(f"peers.given[{peer}].{error}") from error
    lacking = [peer for peer, classes in enumerate(known) if len(classes) < len(class_names)]
    if not lacking:
        return
    first = lacking[0]
    for kind, rule in config.rules_for_losses.items():
        if PAIR_LOSSES[kind].allows_missing_classes:
            continue
        kinds = " or ".join(name for name, loss in PAIR_LOSSES.items() if loss.allows_missing_classes)
        raise ValueError(
            f"{rule} be {kinds} if a peer does not know every class, got {kind}, "
            f"and {config.describe_peer(first)} knows {len(known[first])} of {len(class_names)}."
        )
    field, highest = config.highest_temperature
    if highest > MAX_TEMPERATURE:
        raise ValueError(
            f"{field} must be at most {MAX_TEMPERATURE:g} if a peer does not know every class, got {highest:g}."
        )
    for one, other in combinations(range(len(known)), 2):
        if not known[one] & known[other]:
            raise ValueError(
                f"peers.given[{other}].classes must have a class in common with every other peer, got none that "
                f"{config.describe_peer(one)} knows."
            )
    for peer in lacking:
        own = set(np.unique(labels_N[train[peer]]).tolist())
        if not own & known[peer]:
            declared, found = (listed([class_names[k] for k in sorted(some)]) for some in (known[peer], own))
            raise ValueError(
                f"peers.given[{peer}].classes must contain a class of the peer's own training samples, got {declared}, "
                f"and its samples are of {found}."
            )
        if config.is_trained(peer) and not own <= known[peer]:
            names = listed([class_names[k] for k in sorted(own - known[peer])])
            raise ValueError(
                f"peers.given[{peer}].classes must contain all classes of the peer's own training samples if it has no "
                f"weights, got none of {names}."
            )
