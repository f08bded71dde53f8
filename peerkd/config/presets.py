"""The presets of experiments. A preset is a function that returns a config; a user changes it by overrides."""

from collections.abc import Callable, Mapping

from peerkd.config.data import AugmentationConfig, DataConfig, DirichletLabels, PartitionConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import DistillConfig, PeersConfig, PretrainConfig


def digits() -> ExperimentConfig:
    """Ten peers on handwritten digits, 90 ordered pairs, 5,590 trials: about a minute on two cores.

    Command: ``peerkd run jointkd``. It needs no download and no path.
    """
    return ExperimentConfig(
        name="digits",
        data=DataConfig(source="digits", test_fraction=0.25, validation_fraction=0.2),
        partition=PartitionConfig(num_peers=10, label_skew=DirichletLabels(concentration=0.3)),
        peers=PeersConfig(architectures=("small_cnn",)),
        pretrain=PretrainConfig(epochs=30, batch_size=32, learning_rate=0.05),
        distill=DistillConfig(epochs=3, batch_size=32, learning_rate=0.02),
        sweep=SweepConfig(),
    )


def cifar10_small() -> ExperimentConfig:
    """Five peers with ResNet-20 on a subset of CIFAR-10, 20 ordered pairs: about an hour on two cores.

    Command: ``peerkd run jointkd --preset cifar10_small --set data.path=FOLDER`` where FOLDER contains
    ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``.
    """
    return ExperimentConfig(
        name="cifar10-small",
        data=DataConfig(
            source="image_folder",
            path="data/cifar10",
            max_train_samples=10_000,
            max_test_samples=2_000,
            validation_fraction=0.1,
        ),
        augmentation=AugmentationConfig(crop_padding_pixels=4, horizontal_flip=True),
        partition=PartitionConfig(num_peers=5, label_skew=DirichletLabels(concentration=0.3)),
        peers=PeersConfig(architectures=("resnet20",)),
        pretrain=PretrainConfig(epochs=30, batch_size=64, learning_rate=0.1, nesterov=True),
        distill=DistillConfig(epochs=1, batch_size=64, learning_rate=0.05, nesterov=True),
        sweep=SweepConfig(temperatures=(1.0, 2.0, 4.0), alphas=(0.1, 0.5, 0.9)),
    )


def poster() -> ExperimentConfig:
    """Ten peers with ResNet-18 on all of CIFAR-10, 90 ordered pairs, the full sweep. It needs GPUs.

    The published text of the study specifies the peers, the network, the data set, the pairs and the swept quantities.
    It does not specify the concentration, the grid and the epochs, so these are choices of this project.

    Command: ``peerkd run jointkd --preset poster --set data.path=FOLDER`` where FOLDER contains the published
    ``cifar-10-batches-py``.
    """
    return ExperimentConfig(
        name="poster",
        data=DataConfig(source="cifar10", path="data", validation_fraction=0.1),
        augmentation=AugmentationConfig(crop_padding_pixels=4, horizontal_flip=True),
        partition=PartitionConfig(num_peers=10, label_skew=DirichletLabels(concentration=0.3)),
        peers=PeersConfig(architectures=("resnet18",)),
        pretrain=PretrainConfig(epochs=100, batch_size=128, learning_rate=0.1, nesterov=True),
        distill=DistillConfig(epochs=10, batch_size=128, learning_rate=0.02, nesterov=True),
        sweep=SweepConfig(temperatures=(1.0, 2.0, 4.0, 8.0), alphas=(0.1, 0.3, 0.5, 0.7, 0.9)),
    )


PRESETS: Mapping[str, Callable[[], ExperimentConfig]] = {
    "digits": digits,
    "cifar10_small": cifar10_small,
    "poster": poster,
}
