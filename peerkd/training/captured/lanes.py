"""Lanes: places for students of one architecture that train at once on the same batches, each in its own place.

What a student becomes does not depend on the other lanes: they share the batch, which steps only read. On a GPU each
lane has its stream, its graphs and their memory. Whatever is put or read is in the order of the current stream: lanes
begin a step when the batch is there, and the next batch is put when all have ended.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import torch
from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.training.captured.step import BatchPlace, StudentPlace, take_step
from peerkd.training.distill import TeacherLogits
from peerkd.training.optimizers import learning_rate_at
from peerkd.training.samples import Batches
from peerkd.training.trial_state import TrialState

MAX_LANES: Final = 16
"""Of one architecture. torch has 32 streams to give, and a stream that two lanes of it had would be one lane."""


class SizedBatches(Batches, Protocol):
    """Batches whose sizes are known before the first is made."""

    @property
    def batch_sizes(self) -> Sequence[int]:
        """Numbers of samples that its batches have, the largest first."""


class Steps(Protocol):
    """How the steps of one lane are done: by calling them, or by replaying what was captured of them."""

    def prepare(self, num_samples: int, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Make ready for steps on batches of a size. ``changes`` are left as they are."""

    def run(self, num_samples: int) -> None:
        """Begin a step after all that the current stream does."""

    def join(self) -> None:
        """Let what the current stream does next begin after the steps."""


class CalledSteps:
    """Steps that are called, on any device, in the current stream."""

    def __init__(self) -> None:
        self._steps: dict[int, Callable[[], None]] = {}

    def prepare(self, num_samples: int, step: Callable[[], None], *, changes: Sequence[Tensor]) -> None:
        """Keep the step."""
        self._steps[num_samples] = step

    def run(self, num_samples: int) -> None:
        """Do a step."""
        self._steps[num_samples]()

    def join(self) -> None:
        """Do nothing: steps have been done when they return, or are in the current stream."""


class Lanes:
    """Lanes for students of one architecture, which come and go; a lane stays."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        place: BatchPlace,
        *,
        recipe: DistillConfig,
        make_steps: Callable[[], Steps],
        free_bytes: Callable[[], int],
        budget_bytes: int,
    ) -> None:
        """Make nothing yet.

        Args:
            build: Makes a network of the architecture, on the device.
            place: Of the batches.
            recipe: Of all trials.
            make_steps: Called once for each lane.
            free_bytes: Tells how much memory the device has free; what a lane takes is the difference.
            budget_bytes: Memory that all lanes together may take. The first one is made without asking.
        """
        self._build, self._place, self._recipe = build, place, recipe
        self._make_steps, self._free_bytes = make_steps, free_bytes
        self._budget_bytes = budget_bytes
        self._lanes: list[tuple[StudentPlace, Steps]] = []
        self._prepared: set[tuple[int, int]] = set()
        self.used_bytes = 0
        """By all lanes, when they were made."""
        self._largest_bytes = 0

    def __len__(self) -> int:
        """Return the number of lanes that there are."""
        return len(self._lanes)

    def grow(self, number: int, *, batch_sizes: Sequence[int]) -> None:
        """Add lanes, ready for batches of these sizes, until there are ``number``; fewer where memory ends.

        Raises:
            RuntimeError: If there is no lane yet and none can be made: torch's error, or that of CUDA.
        """
        while len(self) < min(number, MAX_LANES):
            # Others may have taken memory meanwhile.
            room_bytes = min(self._budget_bytes - self.used_bytes, self._free_bytes())
            if self._lanes and room_bytes < self._largest_bytes:
                return
            free_bytes = self._free_bytes()
            lane = (StudentPlace(self._build(), self._place, lane=len(self)), self._make_steps())
            self._lanes.append(lane)
            try:
                self._prepare(len(self) - 1, batch_sizes)
            except RuntimeError:
                # Out of memory, whatever kind of error that becomes in the midst of a capture.
                self._lanes.pop()
                self._prepared = {each for each in self._prepared if each[0] < len(self)}
                if not self._lanes:
                    raise
                # One that had no room shows how little there is.
                self._budget_bytes = self.used_bytes
                return
            taken_bytes = max(free_bytes - self._free_bytes(), 0)
            self.used_bytes += taken_bytes
            self._largest_bytes = max(self._largest_bytes, taken_bytes)

    def put(self, number: int, start: TrialState) -> None:
        """Put a student into a lane; what was there is gone."""
        self._lanes[number][0].put_state(start)

    def student(self, number: int) -> StudentPlace:
        """Return what is in a lane."""
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
        """Train the students of the first lanes for some of the recipe's epochs; those before must have been done.

        Args:
            samples: The transfer set.
            teacher_logits: Of each student's teacher, for these epochs; None for a control.
            distillation_weights: Weight of each student's distillation term, from 0 to 1.
            temperatures: T of each student; None for a control.
            learning_rates: Of each student's first step; None for the recipe's, and None for the recipe's of all.
            epochs: Those to do, counted from 0.

        Raises:
            ValueError: If a weight is outside 0 to 1, or a student with a weight above 0 lacks teacher or temperature.
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
        # Before the first batch is asked for: nothing else may call the device while a step is captured, and batches
        # are made ahead in other threads.
        for number in range(len(lanes)):
            self._prepare(number, samples.batch_sizes)
        rates_SL = self._rates(learning_rates or [None] * len(lanes), samples.num_batches, epochs)
        for epoch in epochs:
            for index, batch in enumerate(samples.batches(epoch)):
                step = (epoch - epochs.start) * samples.num_batches + index
                self._place.put(batch, learning_rates_L=rates_SL[step])
                for (student, _), teacher in zip(lanes, teachers, strict=True):
                    if teacher is not None:
                        student.put_teacher(teacher[epoch][index])
                self.run(len(lanes), num_samples=len(batch.labels_B))

    def run(self, number: int, *, num_samples: int) -> None:
        """Do a step in each of the first lanes, on the batch that is there."""
        lanes = self._lanes[:number]
        for _, steps in lanes:
            steps.run(num_samples)
        for _, steps in lanes:
            steps.join()

    def states(self, number: int) -> list[TrialState]:
        """Return where the students of the first lanes stand; further training changes it."""
        return [self._state(student) for student, _ in self._lanes[:number]]

    def _state(self, student: StudentPlace) -> TrialState:
        # A student without momentum has none to go on with, as ``distill`` has it.
        momenta: Mapping[str, Tensor] = student.named_momenta() if self._recipe.momentum else {}
        return TrialState(student.state(), momenta)

    def _rates(self, learning_rates: Sequence[float | None], num_batches: int, epochs: range) -> Tensor:
        """Return each student's rate of each step of some epochs, on the device: none is to be brought there later."""
        steps = range(epochs.start * num_batches, epochs.stop * num_batches)
        num_steps = self._recipe.epochs * num_batches
        # Students with one rate have one column in common, as schedules take the time of a step to work out.
        columns = {
            rate: [
                learning_rate_at(step, num_steps=num_steps, recipe=self._recipe, learning_rate=rate) for step in steps
            ]
            for rate in dict.fromkeys(learning_rates)
        }
        rates_LS = torch.tensor([columns[rate] for rate in learning_rates])
        return rates_LS.T.contiguous().to(self._place.device)

    def _prepare(self, number: int, batch_sizes: Sequence[int]) -> None:
        student, steps = self._lanes[number]
        for num_samples in batch_sizes:
            if (number, num_samples) in self._prepared:
                continue
            student.network.train()
            step = partial(take_step, student, self._place, num_samples=num_samples, recipe=self._recipe)
            steps.prepare(num_samples, step, changes=student.tensors)
            self._prepared.add((number, num_samples))
