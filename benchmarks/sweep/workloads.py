"""Experiments reduced to a few minutes, and the share of each contestant in them. This module needs no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from peerkd.config.architectures import Architecture
from peerkd.config.data import AugmentationConfig, DataConfig, DirichletLabels, PartitionConfig
from peerkd.config.experiment import ExperimentConfig
from peerkd.config.presets import digits
from peerkd.config.sweep import SweepConfig
from peerkd.config.training import DistillConfig, PeersConfig, PretrainConfig

SYNTHETIC_NAME: Final = "synthetic.npz"
"""Name of the file with synthetic images: ``data.path`` of experiments with CIFAR-shaped images."""

_NUM_QUICK_SAMPLES: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One experiment, and the part of it that each contestant runs in a round."""

    config: ExperimentConfig

    num_samples: int | None
    """Number of samples of a transfer set of CIFAR-shaped images. None: the experiment has another data set."""

    unit_stride: int
    """peerkd runs every ``unit_stride``-th unit of each transfer set, with all trials of the unit."""

    num_process_trials: int
    """Number of trials of each transfer set that run in a separate process."""

    num_loop_trials: int
    """Number of trials of each transfer set that the plain loop runs."""

    num_groups: int
    """Number of groups of each transfer set that are trained as one, by torch.func.vmap and by grouped convolution."""

    vmap_sizes: tuple[int, ...]
    """Group sizes to try with torch.func.vmap, of which the fastest is used. Empty if vmap is too slow to be
    measured."""

    grouped_sizes: tuple[int, ...]
    """Group sizes to try with grouped convolution; see ``vmap_sizes``."""

    num_rounds: int


def _cifar_shaped(architecture: Architecture, *, num_samples: int, batch_size: int) -> ExperimentConfig:
    """Return an experiment on CIFAR-shaped images with four peers and ``num_samples`` training samples for each peer.

    A trial is one epoch on the student's own data. Each pair has three temperatures.
    """
    num_peers, num_validation, num_test = 4, 64, 128
    num_train = num_peers * num_samples + num_validation
    return ExperimentConfig(
        name=architecture,
        data=DataConfig(
            source="npz",
            path=SYNTHETIC_NAME,
            max_train_samples=num_train,
            max_test_samples=num_test,
            validation_fraction=num_validation / num_train,
        ),
        augmentation=AugmentationConfig(crop_padding_pixels=4, horizontal_flip=True),
        partition=PartitionConfig(num_peers=num_peers, label_skew=DirichletLabels(concentration=0.3)),
        peers=PeersConfig(architectures=(architecture,)),
        pretrain=PretrainConfig(epochs=6, batch_size=64, learning_rate=0.05, nesterov=True, precision="bfloat16"),
        distill=DistillConfig(epochs=1, batch_size=batch_size, learning_rate=0.01, nesterov=True),
        sweep=SweepConfig(temperatures=(1.0, 2.0, 4.0), alphas=(0.5,), transfer_sets=("student",)),
    )


WORKLOADS: Final[Mapping[str, Workload]] = {
    "digits": Workload(
        config=digits(),
        num_samples=None,
        unit_stride=10,
        num_process_trials=2,
        num_loop_trials=20,
        num_groups=2,
        vmap_sizes=(4, 16),
        grouped_sizes=(4, 16),
        num_rounds=5,
    ),
    "resnet20": Workload(
        config=_cifar_shaped("resnet20", num_samples=384, batch_size=64),
        num_samples=384,
        unit_stride=6,
        num_process_trials=4,
        num_loop_trials=4,
        num_groups=2,
        vmap_sizes=(3,),
        grouped_sizes=(3,),
        num_rounds=5,
    ),
    "resnet32": Workload(
        config=_cifar_shaped("resnet32", num_samples=384, batch_size=64),
        num_samples=384,
        unit_stride=6,
        num_process_trials=2,
        num_loop_trials=2,
        num_groups=2,
        vmap_sizes=(),
        grouped_sizes=(3,),
        num_rounds=3,
    ),
    "resnet18": Workload(
        config=_cifar_shaped("resnet18", num_samples=192, batch_size=64),
        num_samples=192,
        unit_stride=6,
        num_process_trials=2,
        num_loop_trials=2,
        num_groups=2,
        vmap_sizes=(),
        grouped_sizes=(2,),
        num_rounds=3,
    ),
}


def find_workload(
    name: str,
    *,
    num_processes: int,
    is_quick: bool = False,
    num_rounds: int | None = None,
    num_samples: int | None = None,
    batch_size: int | None = None,
    data: Path | None = None,
) -> Workload:
    """Return the workload of a name, changed by the other arguments.

    Args:
        name: A name in ``WORKLOADS``, whose numbers are for two cores.
        num_processes: Number of processes of a contestant. The work grows with it, so that no process is idle.
        is_quick: Whether to reduce the workload to one round, few trials and few samples.
        num_rounds: Number of rounds. None: that of the workload.
        num_samples: Samples of a transfer set of CIFAR-shaped images. None: the number of the workload.
        batch_size: Samples of a training step. None: the number of the workload.
        data: Folder with ``train/<class>/*.jpg``. None: synthetic images.
    """
    workload = WORKLOADS[name]
    if is_quick:
        workload = replace(
            workload,
            num_rounds=1,
            num_process_trials=1,
            num_loop_trials=2,
            num_groups=1,
            vmap_sizes=workload.vmap_sizes[:1],
            grouped_sizes=workload.grouped_sizes[:1],
        )
    num_each = -(-num_processes // len(workload.config.sweep.tried_transfer_sets))
    config = workload.config
    if workload.num_samples is not None:
        config = _cifar_shaped(
            config.architectures[0],
            num_samples=num_samples or (_NUM_QUICK_SAMPLES if is_quick else workload.num_samples),
            batch_size=batch_size or config.distill.batch_size,
        )
        if data is not None:
            source = config.data.model_copy(update={"source": "image_folder", "path": str(data)})
            config = config.model_copy(update={"data": source})
    return replace(
        workload,
        config=config,
        unit_stride=max(1, 2 * workload.unit_stride // max(2, num_processes)),
        num_process_trials=max(workload.num_process_trials, num_each),
        num_loop_trials=max(workload.num_loop_trials, num_each),
        num_groups=max(workload.num_groups, num_each),
        num_rounds=num_rounds or workload.num_rounds,
    )


def precisions(config: ExperimentConfig) -> Sequence[ExperimentConfig]:
    """Return the experiment in float32 and, where networks are large enough to gain by it, in bfloat16."""
    if config.data.source == "digits":
        return [config]
    return [
        config.model_copy(update={"distill": config.distill.model_copy(update={"precision": precision})})
        for precision in ("float32", "bfloat16")
    ]
