"""Lanes for students of one architecture that train at once on the same batches.

A lane consists of the buffers of one student and the steps that run on them. On a GPU, each lane has its own stream,
graphs and memory.

A student's result does not depend on the other lanes: the lanes share nothing but the batch, which no step changes.
Networks for ImageNet on a GPU are an exception, because the order of addition in their max pooling varies
(``graphs.choose_repeatable_algorithms``).

Copies into and out of the buffers are queued in the current stream. Lanes begin a step when the batch has been copied,
and the next batch is copied when all lanes have finished.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.training.captured.step import BatchBuffers, StudentBuffers, take_step
from peerkd.training.distill import TeacherLogits
from peerkd.training.optimizers import learning_rate_at
from peerkd.training.samples import BatchSize, SizedBatches
from peerkd.training.trial_state import TrialState

MAX_LANES: Final = 16
"""The maximum number of lanes of one architecture.

torch provides 32 streams, and two lanes on one stream would run one after the other.
"""


class Steps(Protocol):
    """The way in which a lane does its training steps: by calling a function, or by replaying a captured graph."""

    def prepare(self, size: BatchSize, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Prepare for steps on batches of a size.

        Args:
            size: The size of the batches.
            step: A function that does one step.
            changes: The tensors that the step changes. They have the same values after this call as before it.
        """

    def run(self, size: BatchSize) -> None:
        """Queue a step on a batch of this size.

        It begins after all work that is already queued in the current stream.
        """

    def join(self) -> None:
        """Make further work in the current stream wait until all queued steps are done."""


class EagerSteps:
    """The implementation of ``Steps`` that calls the function of a step, on any device and in the current stream."""

    def __init__(self) -> None:
        self._steps: dict[BatchSize, Callable[[], None]] = {}

    def prepare(self, size: BatchSize, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Store the function of the step for batches of a size."""
        self._steps[size] = step

    def run(self, size: BatchSize) -> None:
        """Do a step on a batch of this size."""
        self._steps[size]()

    def join(self) -> None:
        """Do nothing, because the steps are already finished, or are queued in the current stream itself."""


class Lanes:
    """Lanes for students of one architecture. A lane trains one student after another."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        batch: BatchBuffers,
        *,
        recipe: DistillConfig,
        make_steps: Callable[[], Steps],
        free_bytes: Callable[[], int],
        budget_bytes: int,
    ) -> None:
        """Store the arguments. No lane is created yet.

        Args:
            build: A function that builds a network of the architecture, on the device.
            batch: The buffers of the batches.
            recipe: The recipe of all trials.
            make_steps: A function that creates the steps of a lane.
            free_bytes: A function that returns the free memory.
            budget_bytes: The memory that all lanes together may take.

        Raises:
            ValueError: If the loss of the recipe sets its temperature itself, because a captured step cannot do this.
        """
        if recipe.term.loss.sets_temperature:
            raise ValueError(f"recipe must have a loss with a given temperature, got {recipe.loss.kind}.")
        self._build, self._batch, self._recipe = build, batch, recipe
        self._make_steps, self._free_bytes = make_steps, free_bytes
        self._budget_bytes = budget_bytes
        self._lanes: list[tuple[StudentBuffers, Steps]] = []
        self._prepared: set[tuple[int, BatchSize]] = set()
        self.used_bytes = 0
        """The GPU memory that all lanes together took when they were created."""
        self._largest_bytes = 0

    def __len__(self) -> int:
        """Return the number of lanes."""
        return len(self._lanes)

    def grow(self, number: int, *, batch_sizes: Sequence[BatchSize]) -> None:
        """Add lanes until there are ``number`` of them or memory runs out, and prepare them for batches of these sizes.

        Raises:
            RuntimeError: If no lane exists and the first one cannot be created. The error comes from torch or CUDA.
        """
        while len(self) < min(number, MAX_LANES):
            # Others may have allocated memory meanwhile.
            room_bytes = min(self._budget_bytes - self.used_bytes, self._free_bytes())
            if self._lanes and room_bytes < self._largest_bytes:
                return
            free_bytes = self._free_bytes()
            lane = (StudentBuffers(self._build(), self._batch, lane=len(self)), self._make_steps())
            self._lanes.append(lane)
            try:
                self._prepare(len(self) - 1, batch_sizes)
            except RuntimeError:
                # Out of memory, which may appear as any kind of error during a capture.
                self._lanes.pop()
                self._prepared = {each for each in self._prepared if each[0] < len(self)}
                if not self._lanes:
                    raise
                # A lane that did not fit shows how little memory is left.
                self._budget_bytes = self.used_bytes
                return
            taken_bytes = max(free_bytes - self._free_bytes(), 0)
            self.used_bytes += taken_bytes
            self._largest_bytes = max(self._largest_bytes, taken_bytes)

    def put(self, number: int, start: TrialState) -> None:
        """Copy the state of a student into a lane, in place of the student that was there."""
        self._lanes[number][0].put_state(start)

    def student(self, number: int) -> StudentBuffers:
        """Return the buffers of the student in a lane."""
        return self._lanes[number][0]

    def train(
        self,
        samples: SizedBatches,
        *,
        teacher_logits: Sequence[TeacherLogits | None],
        distillation_weights: Sequence[float],
        temperatures: Sequence[float | None],
        learning_rates: Sequence[float | None] | None = None,
        epochs: range,
    ) -> None:
        """Train the students of the first lanes for some of the recipe's epochs.

        Args:
            samples: The transfer set.
            teacher_logits: For each student, the logits that it imitates in these epochs; None for fine-tuning.
            distillation_weights: The weight of each student's distillation term, from 0 to 1.
            temperatures: T of each student; None for fine-tuning.
            learning_rates: The learning rate of each student's first step. None for a student means the recipe's rate,
                and None in place of the sequence means the recipe's rate for all students.
            epochs: The epochs to do, counted from 0. All earlier epochs must have been done.

        Raises:
            ValueError: If a weight is outside 0 to 1, a temperature is not above 0, or a student with a weight above 0
                has no logits or no temperature.
        """
        recipe, lanes = self._recipe, self._lanes[: len(teacher_logits)]
        teachers: list[TeacherLogits | None] = []
        for (student, _), teacher, weight, temperature in zip(
            lanes, teacher_logits, distillation_weights, temperatures, strict=True
        ):
            if weight > 0 and teacher is None:
                raise ValueError(f"teacher_logits are required when distillation_weight is {weight}.")
            student.put_setting(distillation_weight=weight, temperature=temperature, term=recipe.term)
            student.network.train()
            teachers.append(teacher if weight > 0 else None)
        # Captures come before the first batch is requested: nothing else may call the device during a capture, and
        # batches are computed ahead in other threads.
        for number in range(len(lanes)):
            self._prepare(number, samples.batch_sizes)
        rates_SL = self._rates(learning_rates or [None] * len(lanes), samples.num_batches, epochs)
        for epoch in epochs:
            for index, batch in enumerate(samples.batches(epoch)):
                step = (epoch - epochs.start) * samples.num_batches + index
                self._batch.put(batch, learning_rates_L=rates_SL[step])
                for (student, _), teacher in zip(lanes, teachers, strict=True):
                    if teacher is not None:
                        student.put_teacher(teacher[epoch][index])
                self.run(len(lanes), size=batch.size)

    def run(self, number: int, *, size: BatchSize) -> None:
        """Do one step in each of the first ``number`` lanes, on the current batch."""
        lanes = self._lanes[:number]
        for _, steps in lanes:
            steps.run(size)
        for _, steps in lanes:
            steps.join()

    def states(self, number: int) -> list[TrialState]:
        """Return the states of the students in the first ``number`` lanes.

        They are not copies: training changes them.
        """
        return [self._state(student) for student, _ in self._lanes[:number]]

    def _state(self, student: StudentBuffers) -> TrialState:
        # A student without momentum has none to continue with, as in ``distill``.
        momenta: Mapping[str, Tensor] = student.named_momenta() if self._recipe.momentum else {}
        return TrialState(student.state(), momenta)

    def _rates(self, learning_rates: Sequence[float | None], num_batches: int, epochs: range) -> Tensor:
        """Return the learning rate of each student for each step of some epochs.

        The tensor is on the device, so that no step has to wait for a copy.
        """
        steps = range(epochs.start * num_batches, epochs.stop * num_batches)
        num_steps = self._recipe.epochs * num_batches
        # Students with the same rate share one column, because a schedule takes about as long as a step.
        columns = {
            rate: [
                learning_rate_at(step, num_steps=num_steps, recipe=self._recipe, learning_rate=rate) for step in steps
            ]
            for rate in dict.fromkeys(learning_rates)
        }
        rates_LS = torch.tensor([columns[rate] for rate in learning_rates])
        return rates_LS.T.contiguous().to(self._batch.device)

    def _prepare(self, number: int, batch_sizes: Sequence[BatchSize]) -> None:
        student, steps = self._lanes[number]
        for size in batch_sizes:
            if (number, size) in self._prepared:
                continue
            student.network.train()
            step = partial(take_step, student, self._batch, size=size, recipe=self._recipe)
            steps.prepare(size, step, changes=student.tensors)
            self._prepared.add((number, size))
