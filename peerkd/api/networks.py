"""The networks of a run as PyTorch modules."""

from pathlib import Path

from torch import nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.data.streamed import open_dataset
from peerkd.training.checkpoints import load_state_of
from peerkd.training.peers import build_own


def load_network(network: PeerNetwork, weights: Path, *, dataset_folder: Path) -> nn.Module:
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
