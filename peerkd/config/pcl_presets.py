"""The presets of PCL studies. A preset is a function that returns a config; a user changes it by overrides."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

from peerkd.config.architectures import Architecture
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.data import AugmentationConfig, DataConfig
from peerkd.config.methods import Method
from peerkd.config.pcl import EvaluationConfig, OnlineRecipeConfig, PclConfig

_DEFAULT_METHODS: Final[tuple[Method, ...]] = ("plain", "multi_view", "ema", "dml", "one", "pcl")
_PUBLISHED_METHODS: Final[tuple[Method, ...]] = ("plain", "dml", "cl_ilr", "one", "ffl_s", "okddip", "kdcl", "pcl")
_PUBLISHED_ARCHITECTURES: Final[Mapping[Architecture, str]] = {
    "resnet32": "ResNet-32",
    "resnet110": "ResNet-110",
    "vgg16": "VGG-16",
    "densenet40_12": "DenseNet-40-12",
    "wrn20_8": "WRN-20-8",
}


def mean_decay(*, steps_per_epoch: int) -> float:
    """Return the decay of the mean network that averages over as many epochs as in the published recipe.

    The published recipe has a decay of 0.999 and 391 steps in an epoch. A decay d averages over about 1 / (1 - d)
    steps. The published decay averages over 1000 steps, which are 1000 / 391 = 2.6 epochs. The returned value is the
    solution d of 1 / (1 - d) = 1000 / 391 * steps_per_epoch.
    """
    return round(1 - 391 / 1000 / steps_per_epoch, 4)


def digits() -> PclConfig:
    """PCL, two other methods and three controls on handwritten digits, 5 seeds, 30 runs: about a minute on two cores.

    Command: ``peerkd run pcl``. It needs no download and no path. Digits are easy, and with many samples the methods
    would hardly differ, so only 503 samples are used for training. 60 % of all samples (1,078) are used for testing and
    12 % for validation. The ramp-up has the same share of the training as in the published recipe (80 of 300 epochs),
    and the moving average extends over the same number of epochs (2.6).
    """
    return PclConfig(
        name="digits",
        num_seeds=5,
        data=DataConfig(source="digits", test_fraction=0.6, validation_fraction=0.3),
        augmentation=AugmentationConfig(crop_padding_pixels=1),
        architectures=("small_cnn",),
        methods=_DEFAULT_METHODS,
        collaboration=CollaborationConfig(rampup_epochs=8, mean_decay=mean_decay(steps_per_epoch=16)),
        training=OnlineRecipeConfig(epochs=30, batch_size=32, learning_rate=0.05, nesterov=True, schedule="multistep"),
    )


def digits_ablation() -> PclConfig:
    """All 13 methods on handwritten digits, 5 seeds, 65 runs. Some methods are PCL with one of its parts removed.

    Command: ``peerkd run pcl --preset digits_ablation``. It needs no download and no path.
    """
    return PclConfig.model_validate({**dict(digits()), "name": "digits-ablation", "methods": get_args(Method)})


def cifar10_small() -> PclConfig:
    """ResNet-20 on a subset of CIFAR-10 at 16x16 pixels, six methods, 5 seeds, 30 runs: half an hour on two cores.

    Command: ``peerkd run pcl --preset cifar10_small --set data.path=FOLDER`` where FOLDER contains
    ``train/<class>/*.jpg`` and ``test/<class>/*.jpg``. Ramp-up and moving average are shortened as in ``digits``.
    """
    return PclConfig(
        name="cifar10-small",
        num_seeds=5,
        data=DataConfig(
            source="image_folder",
            path="data/cifar10",
            image_size_pixels=16,
            max_train_samples=3_000,
            max_test_samples=4_000,
            validation_fraction=0.1,
        ),
        augmentation=AugmentationConfig(crop_padding_pixels=2, horizontal_flip=True),
        architectures=("resnet20",),
        methods=_DEFAULT_METHODS,
        collaboration=CollaborationConfig(rampup_epochs=8, mean_decay=mean_decay(steps_per_epoch=43)),
        training=OnlineRecipeConfig(
            epochs=30,
            batch_size=64,
            learning_rate=0.1,
            nesterov=True,
            weight_decay=5e-4,
            schedule="multistep",
            precision="bfloat16",
        ),
        evaluation=EvaluationConfig(every_epochs=3),
    )


def _published(source: Literal["cifar10", "cifar100"], architecture: Architecture) -> Callable[[], PclConfig]:
    """Return the preset for one row of the published tables."""
    name = f"{source}_{architecture}"
    data_set = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}[source]
    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[source]

    def preset() -> PclConfig:
        return PclConfig(
            name=name.replace("_", "-"),
            num_seeds=3,
            data=DataConfig(source=source, path="data", validation_fraction=0.1),
            augmentation=AugmentationConfig(crop_padding_pixels=4, horizontal_flip=True),
            architectures=(architecture,),
            methods=_PUBLISHED_METHODS,
            collaboration=CollaborationConfig(
                num_branches=3, temperature=3.0, distillation_weight=1.0, rampup_epochs=80, mean_decay=0.999
            ),
            training=OnlineRecipeConfig(
                epochs=300,
                batch_size=128,
                learning_rate=0.1,
                momentum=0.9,
                nesterov=True,
                weight_decay=5e-4,
                schedule="multistep",
                milestone_fractions=(0.5, 0.75),
                decay_factor=0.1,
            ),
        )

    preset.__doc__ = f"""{_PUBLISHED_ARCHITECTURES[architecture]} on {data_set} by the published recipe, 8 methods, \
3 seeds, 24 runs of 300 epochs. It needs a GPU.

    Command: ``peerkd run pcl --preset {name} --set data.path=FOLDER`` where FOLDER contains the published
    ``{folder}``. For one cell of the table, add ``--set "methods=[pcl]"``. The paper trains on all 50,000 samples;
    here, a tenth is held out for validation. The 3 branches of OKDDip are two auxiliary branches and a leader.
    """
    preset.__name__ = preset.__qualname__ = name
    return preset


def imagenet() -> PclConfig:
    """ResNet-18 on ImageNet, plain training and PCL, 1 seed, 2 runs of 90 epochs. It needs GPUs.

    The paper does not specify its ImageNet recipe. This preset uses the usual 90 epochs, a ramp-up in the published
    proportion, and one sample in 50 for validation.

    Command: ``peerkd run pcl --preset imagenet --set data.path=FOLDER --set training.num_processes=8`` on 8 GPUs,
    where FOLDER contains ``train/<class>/*.jpg`` and ``val/<class>/*.jpg``. For another network, add
    ``--set "architectures=[resnet50_imagenet]"``.
    """
    return PclConfig(
        name="imagenet",
        num_seeds=1,
        data=DataConfig(
            source="image_folder",
            path="data/imagenet",
            image_size_pixels=224,
            storage="streamed",
            validation_fraction=0.02,
        ),
        augmentation=AugmentationConfig(resized_crop_min_area_fraction=0.08, horizontal_flip=True),
        architectures=("resnet18_imagenet",),
        methods=("plain", "pcl"),
        collaboration=CollaborationConfig(rampup_epochs=24),
        training=OnlineRecipeConfig(
            epochs=90,
            batch_size=256,
            learning_rate=0.1,
            nesterov=False,
            weight_decay=1e-4,
            schedule="multistep",
            milestone_fractions=(1 / 3, 2 / 3),
            precision="bfloat16",
        ),
    )


PCL_PRESETS: Mapping[str, Callable[[], PclConfig]] = {
    "digits": digits,
    "digits_ablation": digits_ablation,
    "cifar10_small": cifar10_small,
    **{
        f"{source}_{architecture}": _published(source, architecture)
        for source in get_args(Literal["cifar10", "cifar100"])
        for architecture in _PUBLISHED_ARCHITECTURES
    },
    "imagenet": imagenet,
}
