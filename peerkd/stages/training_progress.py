"""The progress of trainings that report each of their steps: an epoch, or a round."""

from collections.abc import Hashable

from peerkd.metrics import recorder
from peerkd.metrics.progress import Progress


class TrainingProgress:
    """The progress of a stage whose every record is the result of one training with a known number of steps."""

    def __init__(self, progress: Progress, *, num_steps: int) -> None:
        """Create the progress of trainings that have not started.

        Args:
            progress: The progress of the stage, which counts the steps of all trainings.
            num_steps: The number of steps of each training.
        """
        self._progress, self._num_steps = progress, num_steps
        self._num_done: dict[Hashable, int] = {}
        self._gpu_bytes: dict[Hashable, tuple[int, int]] = {}

    def recover(self, num_records: int) -> None:
        """Count all steps of trainings that earlier attempts have finished."""
        self._progress.recover(num_records * self._num_steps)

    def follow(self, num_records: int) -> None:
        """Count all steps of trainings that other workers have finished."""
        self._progress.follow(num_records * self._num_steps)

    def advance(
        self, training: Hashable, *, num_done: int, num_samples: int = 0, gpu_bytes: tuple[int, int] = (0, 0)
    ) -> None:
        """Count a step of a training.

        Args:
            training: The identity of the training.
            num_done: The number of its finished steps, this one included. A training that resumes from a checkpoint
                thereby reports all earlier steps at once.
            num_samples: The number of training samples of the step.
            gpu_bytes: GPU memory of the training's process: used now, and its peak. The sum over all running trainings
                is reported.
        """
        self._progress.recover(num_done - self._num_done.get(training, 0) - 1)
        self._progress.advance()
        self._num_done[training] = num_done
        self._gpu_bytes[training] = gpu_bytes
        recorder.samples(num_samples)
        used, peak = zip(*self._gpu_bytes.values(), strict=True)
        recorder.gpu_memory(used_bytes=sum(used), peak_bytes=sum(peak))

    def end(self, training: Hashable) -> int:
        """End a training: count its remaining steps as done, and return the number of steps that it reported.

        Steps remain if the training diverged, or was not necessary.
        """
        num_done = self._num_done.pop(training, 0)
        self._gpu_bytes.pop(training, None)
        self._progress.recover(self._num_steps - num_done)
        return num_done
