"""The programs whose steps are timed, each as a function that runs some steps and returns the seconds per step.

A step includes the order and views of the batch, forward passes, losses, backward pass, optimiser and moving average.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.pcl_step.straightforward import AugmentedSamples, LoopedTraining
from peerkd.config.architectures import ARCHITECTURE_FACTS, Architecture
from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import Method
from peerkd.config.pcl import OnlineRecipeConfig
from peerkd.data.packed import PackedDataset
from peerkd.models.branched import BranchedNetwork
from peerkd.training.online.loop import train
from peerkd.training.online.objectives import build_for_method, distillation_weight
from peerkd.training.online.state import prepare
from peerkd.training.samples import SampleSet

Precision = Literal["float32", "bfloat16"]
ViewBatchNorm = Literal["joined", "separate"]


class PclContestant(NamedTuple):
    """A program whose steps are timed."""

    program: str
    precision: Precision


Lap = Callable[[], dict[PclContestant, float]]
"""A function that runs the steps of one round and returns the seconds per step."""

_NO_CHECKPOINT = Path("/nowhere/checkpoint")

STRAIGHTFORWARD = PclContestant("straightforward", "float32")
STRAIGHTFORWARD_READY = PclContestant("straightforward, its batches ready", "float32")


class StepTask(NamedTuple):
    """The network, data and number of steps of all contestants."""

    architecture: Architecture
    image_shape_CHW: tuple[int, int, int]
    num_classes: int
    batch_size: int
    num_steps: int
    """Number of steps of a round."""

    num_rounds: int
    device: torch.device

    @property
    def crop_padding_pixels(self) -> int:
        """The padding before random crops: 4 pixels for images of 32, and proportionally less for smaller ones."""
        return max(1, self.image_shape_CHW[1] // 8)

    def dataset(self) -> PackedDataset:
        """Return images of noise, because the content of an image does not affect the time."""
        rng = np.random.default_rng(0)
        num_samples = self.batch_size * self.num_steps
        return PackedDataset(
            images_NCHW=rng.integers(0, 256, (num_samples, *self.image_shape_CHW), dtype=np.uint8),
            labels_N=rng.integers(0, self.num_classes, num_samples),
            num_train=num_samples,
            class_names=tuple(str(name) for name in range(self.num_classes)),
            columns={},
            name="noise",
            fingerprint="",
            channel_mean=(0.5,) * self.image_shape_CHW[0],
            channel_std=(0.25,) * self.image_shape_CHW[0],
        )

    def build(self, method: Method, collaboration: CollaborationConfig) -> BranchedNetwork:
        """Build the network that a method trains."""
        return build_for_method(
            method,
            collaboration,
            architecture=self.architecture,
            branch_point=ARCHITECTURE_FACTS[self.architecture].branch_point,
            image_shape_CHW=self.image_shape_CHW,
            num_classes=self.num_classes,
            seed=0,
        )

    def recipe(self, precision: Precision) -> OnlineRecipeConfig:
        """Return the default recipe with as many epochs as there are rounds."""
        return OnlineRecipeConfig(epochs=self.num_rounds, batch_size=self.batch_size, precision=precision)


def own_lap(
    task: StepTask, contestant: PclContestant, *, method: Method, view_batch_norm: ViewBatchNorm = "separate"
) -> Lap:
    """Return a function that runs one round: an epoch of ``peerkd.training.online.loop.train``.

    No checkpoint is written after the epoch. A real epoch has many more steps, so the time of a checkpoint is
    negligible there.
    """
    collaboration = CollaborationConfig(view_batch_norm=view_batch_norm)
    recipe = task.recipe(contestant.precision)
    state, network = prepare(
        task.build(method, collaboration),
        method=method,
        collaboration=collaboration,
        recipe=recipe,
        device=task.device,
    )
    state.save = lambda path, **_: None  # type: ignore[method-assign]
    dataset = task.dataset()
    samples = SampleSet(
        dataset,
        np.arange(dataset.num_train),
        name="train",
        batch_size=task.batch_size,
        crop_padding_pixels=task.crop_padding_pixels,
        horizontal_flip=True,
        seed=0,
        device=task.device,
        cache_bytes=0,
    )
    epochs = train(
        state,
        samples,
        network=network,
        method=method,
        collaboration=collaboration,
        recipe=recipe,
        precision=recipe.precision,
        checkpoint=_NO_CHECKPOINT,
    )

    def lap() -> dict[PclContestant, float]:
        started = _now(task.device)
        next(epochs)
        seconds = _now(task.device) - started
        _check(contestant, state.history[-1]["train"]["loss"])
        return {contestant: seconds / task.num_steps}

    return lap


def straightforward_lap(task: StepTask) -> Lap:
    """Return a function that runs the steps of one round of the straightforward program.

    The program augments images in its own process. The function returns two times of a step, with and without the
    augmentation, because other cores could augment images during the steps.
    """
    collaboration = CollaborationConfig()
    recipe = task.recipe("float32")
    training = LoopedTraining(
        task.build("pcl", collaboration),
        device=task.device,
        temperature=collaboration.temperature,
        mean_decay=collaboration.mean_decay,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    samples = AugmentedSamples(
        task.dataset(), num_views=collaboration.num_branches, crop_padding_pixels=task.crop_padding_pixels
    )
    loader = DataLoader(samples, batch_size=task.batch_size, shuffle=True)
    weight = distillation_weight("pcl", collaboration, epoch=0)

    def lap() -> dict[PclContestant, float]:
        seconds = ready_seconds = 0.0
        started = _now(task.device)
        for views, labels_B in loader:
            ready = _now(task.device)
            on_device = [images_BCHW.to(task.device) for images_BCHW in views]
            losses = training.step(on_device, labels_B.to(task.device), distillation_weight=weight)
            ended = _now(task.device)
            seconds += ended - started
            ready_seconds += ended - ready
            started = ended
        _check(STRAIGHTFORWARD, losses["loss"])
        return {STRAIGHTFORWARD: seconds / task.num_steps, STRAIGHTFORWARD_READY: ready_seconds / task.num_steps}

    return lap


def _now(device: torch.device) -> float:
    """Wait until the device has finished its work, and return the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _check(contestant: PclContestant, loss: float) -> None:
    # Arithmetic on infinities and denormals may take more or less time than on normal numbers.
    if not math.isfinite(loss):
        raise ArithmeticError(f"The loss of {contestant.program} in {contestant.precision} is {loss}.")
