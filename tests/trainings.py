"""Trainings that are small enough to repeat many times: 24 grey images of 8x8, batches of 8, two or three epochs."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from peerkd.config.architectures import ARCHITECTURE_FACTS
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import Method
from peerkd.config.pcl import OnlineRecipeConfig
from peerkd.data.packed import PackedDataset
from peerkd.training.online.group import ALONE, ProcessGroup
from peerkd.training.online.loop import train
from peerkd.training.online.objectives import build_for_method
from peerkd.training.online.state import TrainingState, prepare
from peerkd.training.samples import SampleSet

CPU = torch.device("cpu")
NUM_CLASSES = 4


def make_dataset(num_samples: int = 24, *, seed: int = 0) -> PackedDataset:
    rng = np.random.default_rng(seed)
    return PackedDataset(
        images_NCHW=rng.integers(0, 256, (num_samples, 1, 8, 8), dtype=np.uint8),
        labels_N=rng.integers(0, NUM_CLASSES, num_samples),
        num_train=num_samples,
        class_names=tuple("abcd"),
        columns={},
        name="noise",
        fingerprint="",
        channel_mean=(0.5,),
        channel_std=(0.25,),
    )


@dataclass(frozen=True)
class Training:
    """The parts of a training, so that a test can change one of them."""

    method: Method = "pcl"
    architecture: str = "small_cnn"
    collaboration: CollaborationConfig = field(default_factory=partial(CollaborationConfig, rampup_epochs=2))
    recipe: OnlineRecipeConfig = field(
        default_factory=partial(OnlineRecipeConfig, epochs=3, batch_size=8, learning_rate=0.05)
    )
    dataset: PackedDataset = field(default_factory=make_dataset)
    seed: int = 0
    group: ProcessGroup = ALONE

    def but(self, **changes: Any) -> "Training":
        return replace(self, **changes)

    def samples(self) -> SampleSet:
        return SampleSet(
            self.dataset,
            np.arange(len(self.dataset.labels_N)),
            name="train",
            batch_size=self.recipe.batch_size,
            crop_padding_pixels=1,
            horizontal_flip=True,
            seed=self.seed,
            device=CPU,
            cache_bytes=0,
        )

    def prepare(self) -> tuple[TrainingState, torch.nn.Module]:
        network = build_for_method(
            self.method,
            self.collaboration,
            architecture=self.architecture,
            branch_point=ARCHITECTURE_FACTS[self.architecture].branch_point,
            image_shape_CHW=(1, 8, 8),
            num_classes=NUM_CLASSES,
            seed=self.seed,
        )
        return prepare(
            network,
            method=self.method,
            collaboration=self.collaboration,
            recipe=self.recipe,
            device=CPU,
            group=self.group,
        )

    def epochs(self, state: TrainingState, stepped: torch.nn.Module, checkpoint: Path, **options: Any):
        return train(
            state,
            self.samples(),
            network=stepped,
            method=self.method,
            collaboration=self.collaboration,
            recipe=self.recipe,
            precision=self.recipe.precision,
            checkpoint=checkpoint,
            group=self.group,
            **options,
        )

    def run(self, checkpoint: Path, **options: Any) -> TrainingState:
        state, stepped = self.prepare()
        assert list(self.epochs(state, stepped, checkpoint, **options))[-1:] in ([], [self.recipe.epochs])
        return state


def all_tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    """Return the weights and statistics of the network and of its mean, and the momenta."""
    tensors = {f"network.{name}": tensor for name, tensor in state.network.state_dict().items()}
    if state.mean:
        tensors |= {f"mean.{name}": tensor for name, tensor in state.mean.network.state_dict().items()}
    tensors |= {f"momentum.{name}": momentum for name, momentum in state.optimizer.momenta.items()}
    return {name: tensor.clone() for name, tensor in tensors.items()}
