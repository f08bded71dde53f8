"""The presets of experiments with rounds. A preset is a function that returns a config."""

from collections.abc import Callable, Mapping

from peerkd.config.collaborate import CollaborateConfig, RoundsConfig
from peerkd.config.data import DataConfig, DirichletLabels, PartitionConfig
from peerkd.config.training import PeersConfig, PretrainConfig
from peerkd.rounds import ROUND_METHODS


def digits() -> CollaborateConfig:
    """Ten peers on handwritten digits, ten rounds by every method: about a minute on two cores.

    Command: ``peerkd run collaborate``. It needs no download and no path.
    """
    return CollaborateConfig(
        name="digits",
        data=DataConfig(source="digits", test_fraction=0.25, validation_fraction=0.25),
        partition=PartitionConfig(num_peers=10, label_skew=DirichletLabels(concentration=0.3), public_fraction=0.15),
        peers=PeersConfig(architectures=("small_cnn",)),
        pretrain=PretrainConfig(epochs=40, batch_size=32, learning_rate=0.05),
        rounds=RoundsConfig(methods=tuple(ROUND_METHODS)),
    )


COLLABORATE_PRESETS: Mapping[str, Callable[[], CollaborateConfig]] = {"digits": digits}
