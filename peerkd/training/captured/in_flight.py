"""How many students a GPU trains at once: measured, since it changes no number but the time."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import nn

from peerkd.config.training import DistillConfig
from peerkd.study.splits import SPLITS
from peerkd.study.trials import Trial
from peerkd.training.captured import graphs
from peerkd.training.captured.lanes import MAX_LANES, CalledSteps, Lanes, SizedBatches, Steps
from peerkd.training.captured.step import BatchPlace
from peerkd.training.distill import TeacherLogits
from peerkd.training.evaluate import Judge, Predictions
from peerkd.training.finite import are_finite
from peerkd.training.inputs import WayTaken
from peerkd.training.trial_state import TrialState

_LEAST_GAIN: Final = 1.03
"""Twice as many must do so many times as many steps a second; otherwise there is nothing in them but memory."""

_MEASURED_SECONDS: Final = 0.2
"""For each number of lanes, of which there are at most five."""


class InFlight:
    """The lanes of each architecture, made and counted when it is first asked for."""

    def __init__(
        self,
        build: Callable[[str], nn.Module],
        *,
        num_architectures: int,
        image_shape_CHW: tuple[int, int, int],
        num_classes: int,
        recipe: DistillConfig,
        device: torch.device,
        make_steps: Callable[[], Steps] | None = None,
        free_bytes: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Make nothing yet.

        Args:
            build: Makes a network of an architecture, on the device.
            num_architectures: That will be asked for; each may take an equal part of the memory.
            image_shape_CHW: Of the images.
            num_classes: K.
            recipe: Of all trials.
            device: Where all of it is.
            make_steps: Makes what does the steps of a lane. None: CUDA graphs on a GPU, else calls.
            free_bytes: Tells how much memory is free. None: the GPU's, else without end.
            clock: In seconds.
        """
        is_gpu = device.type == "cuda"
        if is_gpu:
            graphs.choose_repeatable_algorithms()
        self._build, self._recipe, self._device, self._clock = build, recipe, device, clock
        self._make_steps = make_steps or ((lambda: graphs.CapturedSteps(device)) if is_gpu else CalledSteps)
        self._free_bytes = free_bytes or ((lambda: graphs.free_bytes(device)) if is_gpu else (lambda: 2**62))
        self._num_coming = num_architectures
        self._place = BatchPlace(
            num_samples=recipe.batch_size,
            image_shape_CHW=image_shape_CHW,
            num_classes=num_classes,
            device=device,
            num_lanes=MAX_LANES,
        )
        self._lanes: dict[str, tuple[Lanes, int]] = {}
        self._news: list[WayTaken] = []

    def number(self, architecture: str, samples: SizedBatches) -> int:
        """Return how many students of an architecture to train at once; 0 if its steps cannot be captured.

        Args:
            architecture: Measured when it is first asked for.
            samples: Those that come first: batches of their sizes are measured.
        """
        if architecture not in self._lanes:
            self._lanes[architecture] = self._open(architecture, samples.batch_sizes)
        return self._lanes[architecture][1]

    def trainees(self, architecture: str, trials: Sequence[Trial], starts: Sequence[TrialState]) -> "LaneTrainees":
        """Return students that stand where the trials do; those asked for before are gone then."""
        lanes, _ = self._lanes[architecture]
        for place, start in enumerate(starts):
            lanes.put(place, start)
        return LaneTrainees(lanes, trials)

    def read_news(self) -> list[WayTaken]:
        """Return what was measured and nobody has read yet."""
        news, self._news = self._news, []
        return news

    def _open(self, architecture: str, batch_sizes: Sequence[int]) -> tuple[Lanes, int]:
        lanes = Lanes(
            lambda: self._build(architecture),
            self._place,
            recipe=self._recipe,
            make_steps=self._make_steps,
            free_bytes=self._free_bytes,
            budget_bytes=self._free_bytes() // max(self._num_coming, 1),
        )
        self._num_coming -= 1
        try:
            lanes.grow(1, batch_sizes=batch_sizes)
        except RuntimeError as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            text = f"{architecture}: one student at a time, as its steps cannot be captured ({reason})"
            self._news.append(WayTaken(architecture, text))
            return lanes, 0
        number, gain = self._measure(lanes, batch_sizes)
        self._news.append(
            WayTaken(
                architecture,
                f"{architecture}: {number} students in flight, measured {gain:.1f} times as fast as one; "
                f"{len(lanes)} lanes take {lanes.used_bytes / 2**20:,.0f} MiB",
            )
        )
        return lanes, number

    def _measure(self, lanes: Lanes, batch_sizes: Sequence[int]) -> tuple[int, float]:
        """Double the number while that pays and there is memory; return it, and how much it gains."""
        rates = {1: self._rate(lanes, 1, num_samples=batch_sizes[0])}
        best = 1
        while best < MAX_LANES:
            wanted = min(2 * best, MAX_LANES)
            lanes.grow(wanted, batch_sizes=batch_sizes)
            number = min(len(lanes), wanted)
            if number == best:
                break
            rates[number] = self._rate(lanes, number, num_samples=batch_sizes[0])
            if rates[number] < _LEAST_GAIN * rates[best]:
                break
            best = number
            if number < wanted:
                break
        return best, rates[best] / rates[1]

    def _rate(self, lanes: Lanes, number: int, *, num_samples: int) -> float:
        """Return the steps a second of all lanes together. Students come later, so these may become anything."""
        lanes.run(number, num_samples=num_samples)
        self._finish()
        started, num_rounds, seconds = self._clock(), 0, 0.0
        while seconds < _MEASURED_SECONDS:
            # Twice as many each time: the host should run ahead of the device, as it does in a training.
            for _ in range(max(num_rounds, 1)):
                lanes.run(number, num_samples=num_samples)
                num_rounds += 1
            self._finish()
            seconds = self._clock() - started
        return number * num_rounds / seconds

    def _finish(self) -> None:
        if self._device.type == "cuda":
            graphs.finish(self._device)


class LaneTrainees:
    """Students in the first lanes of an architecture; see ``peerkd.training.trainees.Trainees``."""

    def __init__(self, lanes: Lanes, trials: Sequence[Trial]) -> None:
        """Take over lanes in which students stand where the trials do."""
        self._lanes, self._trials = lanes, trials

    def train(self, samples: SizedBatches, logits: Sequence[TeacherLogits | None], *, epochs: range) -> None:
        """Go on for these epochs."""
        self._lanes.train(
            samples,
            teacher_logits=logits,
            distillation_weights=[trial.setting.distillation_weight for trial in self._trials],
            temperatures=[trial.setting.temperature for trial in self._trials],
            learning_rates=[trial.setting.learning_rate for trial in self._trials],
            epochs=epochs,
        )

    def predict(self, judge: Judge, *, splits: Sequence[str] = SPLITS) -> list[Predictions]:
        """Return what each student predicts."""
        return [
            judge.predict(self._lanes.student(place).network, peer=trial.student, splits=splits)
            for place, trial in enumerate(self._trials)
        ]

    def are_finite(self) -> list[bool]:
        """Return for each student whether its weights, statistics and momenta are finite; see ``Trainees``."""
        return [are_finite(self._lanes.student(place).tensors) for place in range(len(self._trials))]

    def states(self) -> list[TrialState]:
        """Return where each trial stands; further training changes it."""
        return self._lanes.states(len(self._trials))
