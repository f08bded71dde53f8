"""The time of a piece of work on a device, and random images on which it is measured."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from peerkd.data.dataset import RawDataset
from peerkd.training.devices import finish


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that a piece of work takes on a device.

    On the CPU, the result is the CPU time of this process and not the elapsed time. Other processes may use the same
    core during the measurement, but they do not in a real run.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    finish(device)
    started = clock()
    work()
    finish(device)
    return clock() - started


def random_images(
    num_images: int, image_shape_CHW: tuple[int, int, int], *, num_classes: int, known_classes: Sequence[str] = ()
) -> RawDataset:
    """Return a data set of random images. Image i has class i modulo the number of classes.

    Args:
        num_images: The number of images.
        image_shape_CHW: The shape of the images.
        num_classes: The number of classes.
        known_classes: The names of the first classes. The name of any other class is its number.
    """
    rng = np.random.default_rng(0)
    return RawDataset(
        images_NCHW=rng.integers(0, 256, (num_images, *image_shape_CHW), dtype=np.uint8),
        labels_N=np.arange(num_images) % num_classes,
        num_train=num_images,
        class_names=(*known_classes, *map(str, range(len(known_classes), num_classes))),
        columns={},
        name="random",
    )
