"""The networks of a run as PyTorch modules."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.methods import METHODS
from peerkd.config.pcl import PclConfig, Run
from peerkd.data.streamed import open_dataset
from peerkd.stages.train_pcl import NETWORKS_FOLDER
from peerkd.suggestions import check_choice
from peerkd.training.checkpoints import load_state_of
from peerkd.training.inputs import network_name
from peerkd.training.online.export import load_exported
from peerkd.training.peers import build_own


def network_of_peer(network: PeerNetwork, weights: Path, *, dataset_folder: Path) -> nn.Module:
    """Return the network of a peer with the weights of a file, on the CPU and in evaluation mode.

    A network that was trained elsewhere can have an adapter, which fits the network to the images and classes of the
    study. The result does not include the adapter: the input is images that are normalised with the mean and standard
    deviation of the network itself, and the outputs are the network's own classes. ``docs/take-home.md`` has an
    example.

    Args:
        network: The network of the peer, as its config describes it.
        weights: The file with the weights.
        dataset_folder: The folder of the data set, which gives the shape of the images and the number of classes.

    Raises:
        ArtifactCorruptError: If the file does not contain the weights of this network.
    """
    dataset = open_dataset(dataset_folder)
    module = build_own(network, dataset.image_shape, num_classes=dataset.num_classes, seed=0)
    module.load_state_dict(load_state_of(module, weights))
    return module.eval()


def find_run(config: PclConfig, *, method: str | None, architecture: str | None, seed: int | None) -> Run:
    """Return the run of a study with a method, an architecture and a seed.

    If the method or the architecture is None, the study must have only one. If the seed is None, it is the first one.

    Raises:
        ValueError: If the study has no such run, or has several methods or architectures and None is given.
    """
    run = Run(
        _the_one("architecture", architecture, config.architectures),
        _the_one("method", method, config.methods),
        config.seed if seed is None else seed,
    )
    if run not in config.runs:
        raise ValueError(f"seed must be from {config.seed} to {config.seed + config.num_seeds - 1}, got {run.seed}.")
    return run


def network_of_method(run: Run, folder: Path, *, is_ensemble: bool) -> nn.Module:
    """Return the network that a run deploys, or its ensemble, on the CPU and in evaluation mode.

    Args:
        run: The run.
        folder: The folder of the artifact with all runs of the study.
        is_ensemble: Whether to return the ensemble.

    Raises:
        ValueError: If the method has no ensemble, or the run diverged.
        ArtifactCorruptError: If the file is damaged.
    """
    if is_ensemble and METHODS[run.method].ensemble is None:
        raise ValueError(f"is_ensemble must be false for the method {run.method}, which has no ensemble, got True.")
    path = folder / NETWORKS_FOLDER / network_name(run, is_ensemble=is_ensemble)
    if not path.is_file():
        raise ValueError(f"seed must be that of a run that did not diverge, got {run.seed}.")
    return load_exported(path)


def _the_one(field: str, value: str | None, choices: Sequence[Any]) -> Any:
    """Return a value, or the only choice if no value is given."""
    if value is not None:
        check_choice(field, value, choices)
        return value
    if len(choices) > 1:
        raise ValueError(f"{field} must be given, because the study has several: {', '.join(choices)}.")
    return choices[0]
