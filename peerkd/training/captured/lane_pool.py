"""The lanes of each architecture, and the number of students that train at once on a GPU.

The number is measured on this machine. It changes the duration of the training and no result.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import torch
from torch import nn

from peerkd.config.training import DistillConfig
from peerkd.study.splits import SPLITS
from peerkd.study.trials import Trial
from peerkd.training.captured import graphs
from peerkd.training.captured.lanes import MAX_LANES, EagerSteps, Lanes, Steps
from peerkd.training.captured.step import BatchBuffers
from peerkd.training.devices import finish, kind_of
from peerkd.training.distill import TeacherLogits
from peerkd.training.evaluate import Evaluator, Predictions
from peerkd.training.finite import are_finite
from peerkd.training.inputs import EngineChoice
from peerkd.training.samples import BatchSize, SizedBatches
from peerkd.training.trial_state import TrialState

_LEAST_GAIN: Final = 1.03
"""The minimum factor by which a doubled number of lanes must raise the steps per second.

If the factor is smaller, the additional lanes would only take memory.
"""

_MEASURED_SECONDS: Final = 0.2
"""The duration of the measurement for one number of lanes. At most five numbers are measured."""


class LanePool:
    """The lanes of each architecture, which are opened and measured when they are first requested."""

    def __init__(
        self,
        build: Callable[[str], nn.Module],
        *,
        num_architectures: int,
        image_shape_CHW: tuple[int, int, int],
        num_classes: int,
        recipe: DistillConfig,
        device: torch.device,
        max_batch_samples: int | None = None,
        make_steps: Callable[[], Steps] | None = None,
        free_bytes: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Prepare the buffers of the batches. No lane is opened yet.

        Args:
            build: A function that builds a network of an architecture, on the device.
            num_architectures: The number of architectures that will be requested. Each may take an equal part of the
                memory.
            image_shape_CHW: The shape of the images.
            num_classes: The number of classes.
            recipe: The recipe of all trials.
            device: The device of all tensors.
            max_batch_samples: The number of samples in the largest batch. None means the recipe's batch size.
            make_steps: A function that creates the object through which a lane does its steps. None means that steps
                are called and not captured.
            free_bytes: A function that returns the free memory. None means the free memory of the GPU, or no limit on a
                CPU.
            clock: A function that returns seconds.
        """
        self._build, self._recipe, self._device, self._clock = build, recipe, device, clock
        self._make_steps = make_steps or EagerSteps
        self._free_bytes = free_bytes or (
            partial(graphs.free_bytes, device) if kind_of(device).engine == "captured" else (lambda: 2**62)
        )
        self._num_not_opened = num_architectures
        self._batch = BatchBuffers(
            num_samples=max_batch_samples or recipe.batch_size,
            image_shape_CHW=image_shape_CHW,
            num_classes=num_classes,
            device=device,
            num_lanes=MAX_LANES,
        )
        self._lanes: dict[str, tuple[Lanes, int]] = {}
        self._choices: list[EngineChoice] = []

    def number(self, architecture: str, samples: SizedBatches) -> int:
        """Return how many students of an architecture to train at once; 0 if their steps cannot be captured.

        The first call for an architecture measures the number. Later calls return the same number.

        Args:
            architecture: The architecture of the students.
            samples: A transfer set of the students. The measurement uses the batch sizes of this transfer set.
        """
        if architecture not in self._lanes:
            self._lanes[architecture] = self._open(architecture, samples.batch_sizes)
        return self._lanes[architecture][1]

    def students(self, architecture: str, trials: Sequence[Trial], starts: Sequence[TrialState]) -> "LaneGroup":
        """Copy the initial states of trials into the first lanes, and return the students in these lanes.

        Students that an earlier call returned for the architecture are overwritten.
        """
        lanes, _ = self._lanes[architecture]
        for index, start in enumerate(starts):
            lanes.put(index, start)
        return LaneGroup(lanes, trials)

    def take_choices(self) -> list[EngineChoice]:
        """Return, for the log, how many lanes were chosen since the last call of this method."""
        choices, self._choices = self._choices, []
        return choices

    def _open(self, architecture: str, batch_sizes: Sequence[BatchSize]) -> tuple[Lanes, int]:
        lanes = Lanes(
            partial(self._build, architecture),
            self._batch,
            recipe=self._recipe,
            make_steps=self._make_steps,
            free_bytes=self._free_bytes,
            budget_bytes=self._free_bytes() // max(self._num_not_opened, 1),
        )
        self._num_not_opened -= 1
        try:
            lanes.grow(1, batch_sizes=batch_sizes)
        except RuntimeError as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            text = f"{architecture}: one student at a time, because its steps cannot be captured ({reason})"
            self._choices.append(EngineChoice(architecture, text))
            return lanes, 0
        number, gain = self._measure(lanes, batch_sizes)
        self._choices.append(
            EngineChoice(
                architecture,
                f"{architecture}: {number} students in flight, measured {gain:.1f} times as fast as one; "
                f"{len(lanes)} lanes take {lanes.used_bytes / 2**20:,.0f} MiB",
            )
        )
        return lanes, number

    def _measure(self, lanes: Lanes, batch_sizes: Sequence[BatchSize]) -> tuple[int, float]:
        """Measure how many lanes are fastest. Their number is doubled until this gains little, or memory runs out.

        Returns:
            The number of lanes; and the steps per second of all these lanes, divided by the steps per second of a
            single lane.
        """
        rates = {1: self._rate(lanes, 1, size=batch_sizes[0])}
        best = 1
        while best < MAX_LANES:
            wanted = min(2 * best, MAX_LANES)
            lanes.grow(wanted, batch_sizes=batch_sizes)
            number = min(len(lanes), wanted)
            if number == best:
                break
            rates[number] = self._rate(lanes, number, size=batch_sizes[0])
            if rates[number] < _LEAST_GAIN * rates[best]:
                break
            best = number
            if number < wanted:
                break
        return best, rates[best] / rates[1]

    def _rate(self, lanes: Lanes, number: int, *, size: BatchSize) -> float:
        """Measure the steps per second of ``number`` lanes together. No student is in the lanes yet."""
        lanes.run(number, size=size)
        finish(self._device)
        started, num_repetitions, seconds = self._clock(), 0, 0.0
        while seconds < _MEASURED_SECONDS:
            # The number of repetitions doubles each time, so that the host runs ahead of the device, as it does in a
            # training.
            for _ in range(max(num_repetitions, 1)):
                lanes.run(number, size=size)
                num_repetitions += 1
            finish(self._device)
            seconds = self._clock() - started
        return number * num_repetitions / seconds


class LaneGroup:
    """Students of one architecture that train at once in lanes: an implementation of ``StudentGroup``."""

    def __init__(self, lanes: Lanes, trials: Sequence[Trial]) -> None:
        """Store the lanes, into which the initial states of the trials have been copied."""
        self._lanes, self._trials = lanes, trials

    def train(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Train all students for some epochs, as ``StudentGroup.train`` specifies."""
        self._lanes.train(
            samples,
            teacher_logits=logits,
            distillation_weights=[trial.setting.distillation_weight for trial in self._trials],
            temperatures=[trial.setting.temperature for trial in self._trials],
            learning_rates=[trial.setting.learning_rate for trial in self._trials],
            epochs=epochs,
        )

    def predict(self, evaluator: Evaluator, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return the predictions of each student on the evaluation samples of its peer."""
        return [
            evaluator.predict(self._lanes.student(index).network, peer=trial.student, splits=splits)
            for index, trial in enumerate(self._trials)
        ]

    def are_finite(self) -> list[bool]:
        """Return for each student whether its weights, statistics and momenta are all finite numbers."""
        return [are_finite(self._lanes.student(index).tensors) for index in range(len(self._trials))]

    def states(self) -> list[TrialState]:
        """Return the state of each trial. The states are not copies: further training changes them."""
        return self._lanes.states(len(self._trials))
