"""What each of many students minimises: weights, temperatures and teachers side by side.

Shape suffixes: G = students, T = no teacher and all teachers, K = classes, B = batch; G11 = one number a student.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.distill import TeacherLogits
from peerkd.training.stacked.losses import joint_loss_gradient


class Objective:
    """The joint losses of G students for a training on one transfer set."""

    def __init__(
        self,
        *,
        teacher_logits: Sequence[TeacherLogits | None],
        distillation_weights: Sequence[float],
        temperatures: Sequence[float | None],
        term: DistillationTerm,
        dtype: torch.dtype,
    ) -> None:
        """Check and keep what differs between the students; see ``Students.train`` for the arguments.

        Raises:
            ValueError: If a weight is outside 0 to 1, or a student with a weight above 0 lacks teacher or temperature.
        """
        for weight, teacher, temperature in zip(distillation_weights, teacher_logits, temperatures, strict=True):
            if not 0 <= weight <= 1:
                raise ValueError(f"distillation_weights must be from 0 to 1, got {weight}.")
            if weight > 0 and (teacher is None or temperature is None):
                raise ValueError(f"teacher_logits and temperatures are required when a weight is {weight}.")
            if temperature is not None and temperature <= 0:
                raise ValueError(f"temperatures must be above 0, got {temperature}.")
        self._term = term
        self._dtype = dtype
        self._weights_G11 = torch.tensor(distillation_weights, dtype=dtype)[:, None, None]
        self._temperatures_G11 = torch.tensor([each or 1.0 for each in temperatures], dtype=dtype)[:, None, None]
        # Whoever has no use for a teacher is given zeros, not another's, which might not be finite.
        needed = [
            None if weight == 0 else teacher
            for weight, teacher in zip(distillation_weights, teacher_logits, strict=True)
        ]
        self._teachers = list({id(each): each for each in needed if each is not None}.values())
        places = {id(teacher): 1 + place for place, teacher in enumerate(self._teachers)}
        self._places_G = torch.tensor([places.get(id(teacher), 0) for teacher in needed])

    def gradient(self, logits_GKB: Tensor, *, labels_B: Tensor, epoch: int, batch: int) -> Tensor:
        """Return the gradient of each student's loss for its logits on one batch of an epoch, ``GKB``."""
        return joint_loss_gradient(
            logits_GKB,
            labels_B=labels_B,
            teacher_logits_GKB=self._teacher_logits(epoch, batch, like=logits_GKB),
            distillation_weights_G11=self._weights_G11,
            temperatures_G11=self._temperatures_G11,
            term=self._term,
        )

    def _teacher_logits(self, epoch: int, batch: int, *, like: Tensor) -> Tensor:
        none_BK = like.new_zeros(like.shape[2], like.shape[1])
        logits_TBK = torch.stack([none_BK, *(teacher[epoch][batch].to(self._dtype) for teacher in self._teachers)])
        return logits_TBK.transpose(1, 2).index_select(0, self._places_G)
