"""The targets of the trials of a sweep: for each epoch and batch the logits that the student imitates.

Shape suffixes: P = peers, K = classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from peerkd.config.targets import TargetConfig
from peerkd.data.dataset import ImageDataset
from peerkd.data.partition.assignment import Assignment
from peerkd.losses.targets.target import Prediction, target_logits
from peerkd.study.trials import Trial
from peerkd.training.distill import TeacherLogits


class PairTargets:
    """The targets of trials on one transfer set. Trials with the same target get the same object."""

    def __init__(
        self,
        logits: Callable[[int], TeacherLogits],
        *,
        counts_PK: Tensor,
        target_of: Callable[[Trial], TargetConfig],
    ) -> None:
        """Store the arguments. No target is computed yet.

        Args:
            logits: A function that returns the logits of a pre-trained peer on the samples of the divergence.
            counts_PK: The number of training samples of each class that each peer has, as floating-point numbers.
            target_of: A function that returns the target of a trial.
        """
        self._logits, self._counts_PK, self._target_of = logits, counts_PK, target_of
        self._of_peers: dict[int, TeacherLogits] = {}
        self._made: dict[tuple[object, ...], TeacherLogits] = {}

    def of_group(self, group: Sequence[tuple[Trial, int | None]]) -> list[TeacherLogits | None]:
        """Return the logits that the student of each trial of a group imitates; None for fine-tuning.

        The logits and targets of this group stay in memory, so that the next group can use them. All others are freed.

        Args:
            group: The trials, each with the peer whose logits its unit needs (``Unit.teacher``), or None for
                fine-tuning.
        """
        needed = [(trial, teacher) for trial, teacher in group if teacher is not None]
        peers = {peer for trial, teacher in needed for peer in self._peers(trial, teacher)}
        self._of_peers = {peer: self._of_peers.get(peer) or self._logits(peer) for peer in sorted(peers)}
        keys = {self._key(trial, teacher): (trial, teacher) for trial, teacher in needed}
        self._made = {key: self._made.get(key) or self._make(*keys[key]) for key in keys}
        return [None if teacher is None else self._made[self._key(trial, teacher)] for trial, teacher in group]

    def _peers(self, trial: Trial, teacher: int) -> tuple[int, ...]:
        needs_student = self._target_of(trial).pair_target.needs_student
        return (teacher, trial.student) if needs_student else (teacher,)

    def _key(self, trial: Trial, teacher: int) -> tuple[object, ...]:
        """Return a key that is equal for trials with the same target.

        A target that is only the teacher's logits depends neither on the student nor on the temperature.
        """
        target, peers = self._target_of(trial), self._peers(trial, teacher)
        temperature = trial.setting.temperature if target.pair_target.needs_student else None
        return target.kind, target.prior_adjusted, peers, temperature

    def _make(self, trial: Trial, teacher: int) -> TeacherLogits:
        target = self._target_of(trial)
        if target.is_teacher:
            return self._of_peers[teacher]
        assert trial.setting.temperature is not None, "a trial with a teacher has a temperature"
        student = trial.student if target.pair_target.needs_student else None
        of_student = None if student is None else self._of_peers[student]
        made: dict[int, list[Tensor]] = {}
        for epoch, batches in self._of_peers[teacher].items():
            made[epoch] = [
                target_logits(
                    target.pair_target,
                    Prediction(logits_BK, self._counts_PK[teacher]),
                    None if of_student is None else Prediction(of_student[epoch][index], self._counts_PK[student]),
                    temperature=trial.setting.temperature,
                    prior_adjusted=target.prior_adjusted,
                )
                for index, logits_BK in enumerate(batches)
            ]
        return made


def class_counts(dataset: ImageDataset, assignment: Assignment, *, device: torch.device) -> Tensor:
    """Return the number of training samples of each peer and class, as floating-point numbers of shape PK."""
    counts_PK = [np.bincount(dataset.labels_N[indices], minlength=dataset.num_classes) for indices in assignment.train]
    return torch.tensor(np.stack(counts_PK), dtype=torch.float32, device=device)
