"""The seconds that one sample takes on this machine in the runs of a study of methods, measured on random images.

The measurement is a short run with the code of a real run. Its epochs have as many samples as the epochs of the study,
or fewer, so that an epoch with its evaluation takes about a second. Every second epoch is evaluated. The difference in
time between an epoch with an evaluation and one without is the time of the evaluation.
"""

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np
import torch

from peerkd.config.pcl import PclConfig, Run
from peerkd.data.packed import write_packed
from peerkd.data.partition.assignment import Assignment
from peerkd.training.devices import process_device
from peerkd.training.forecast_study import RunRates, SplitSizes
from peerkd.training.inputs import RunInputs
from peerkd.training.online.runs import open_runs
from peerkd.training.process_pool import TaskFunction
from peerkd.training.timing import random_images, timed

_NUM_REPETITIONS: Final = 3
_SECONDS: Final = 1.0
"""The time that an epoch with its evaluation may take."""
_REPETITION_SECONDS: Final = 2.0
"""The time after which no further repetition begins."""

_PILOT_SAMPLES: Final = 8


class _Sizes(NamedTuple):
    """The number of samples in an epoch and in an evaluation of a measurement."""

    num_trained: int
    num_evaluated: int


def start(config: PclConfig, samples: SplitSizes, device: str, *, process_index: int) -> TaskFunction:
    """Return a function that measures runs in this process: given a run, it yields one ``RunRates``.

    Args:
        config: The study.
        samples: The sizes of the parts of its data set, and the shape of its images.
        device: The kind of device; see ``process_device``.
        process_index: The index of this process, from 0.
    """
    own_device = process_device(device, process_index=process_index)

    def perform(run: Run) -> Iterator[RunRates]:
        pilot = _Sizes(min(_PILOT_SAMPLES, samples.training), min(_PILOT_SAMPLES, samples.evaluated))
        rough = _measure(config, samples, run, pilot, num_repetitions=1, device=own_device)
        sizes = _affordable(rough, samples, batch_size=config.training.batch_size)
        yield _measure(config, samples, run, sizes, num_repetitions=_NUM_REPETITIONS, device=own_device)

    return perform


def _affordable(rough: RunRates, samples: SplitSizes, *, batch_size: int) -> _Sizes:
    """Return the sizes of a measurement whose epochs take about ``_SECONDS``. They are at most the study's sizes.

    ``rough`` contains the rates that a first measurement on few samples has found.
    """
    num = int(_SECONDS / max(sum(rough), 1e-9))
    num_trained = min(max(num, _PILOT_SAMPLES), samples.training)
    if batch_size < num_trained < samples.training:
        # As in the study, nearly all batches have the largest size.
        num_trained -= num_trained % batch_size
    return _Sizes(num_trained, min(max(num, _PILOT_SAMPLES), samples.evaluated))


def _measure(
    config: PclConfig, samples: SplitSizes, run: Run, sizes: _Sizes, *, num_repetitions: int, device: torch.device
) -> RunRates:
    """Return the rates of a run, measured in epochs and evaluations of the given sizes."""
    # The first two epochs include work that is done only once.
    measured = _shortened(config, epochs=2 * (num_repetitions + 1))
    with TemporaryDirectory(prefix="peerkd-") as name:
        folder = Path(name)
        _write_study(samples, sizes, folder)
        inputs = RunInputs(
            config=measured,
            dataset_folder=folder,
            split_folder=folder,
            networks_folder=folder,
            checkpoints_folder=folder,
            device=device.type,
        )
        epochs = open_runs(inputs, device=device)(run)
        assert isinstance(epochs, Generator)
        next(epochs), next(epochs)
        alone: list[float] = []
        evaluated: list[float] = []
        began = time.monotonic()
        while not alone or (len(alone) < num_repetitions and time.monotonic() - began < _REPETITION_SECONDS):
            alone.append(timed(lambda: next(epochs), device))
            evaluated.append(timed(lambda: next(epochs), device))
        epochs.close()
    # The minimum is the time with the least disturbance. Noise must not make an evaluation take less than no time.
    return RunRates(
        training=min(alone) / sizes.num_trained,
        evaluation=max(min(evaluated) - min(alone), 0.0) / sizes.num_evaluated,
    )


def _shortened(config: PclConfig, *, epochs: int) -> PclConfig:
    """Return a study whose runs take the given number of epochs in one process and do not diverge."""
    recipe = config.training.model_copy(
        update={"epochs": epochs, "learning_rate": 1e-4, "num_processes": 1, "synchronise_batch_norm": False}
    )
    evaluation = config.evaluation.model_copy(update={"every_epochs": 2})
    return config.model_copy(update={"training": recipe, "evaluation": evaluation})


def _write_study(samples: SplitSizes, sizes: _Sizes, folder: Path) -> None:
    """Write random images and their split."""
    num_images = max(*sizes, samples.num_classes)
    write_packed(folder, random_images(num_images, samples.image_shape_CHW, num_classes=samples.num_classes))
    num_validation = sizes.num_evaluated // 2
    nothing = np.empty(0, dtype=np.int64)
    Assignment(
        train=(np.arange(sizes.num_trained),),
        own_validation=(nothing,),
        own_test=(nothing,),
        validation=np.arange(num_validation),
        test=np.arange(num_validation, sizes.num_evaluated),
        public=nothing,
    ).save(folder)
