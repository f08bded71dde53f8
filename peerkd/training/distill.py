"""One round of distillation: one student, one transfer set, one setting.

Shape suffixes: B = batch, K = classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from peerkd.config.training import ConventionsConfig, DistillConfig
from peerkd.losses.distillation import joint_loss
from peerkd.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from peerkd.training.samples import SampleSet

TeacherLogits = Sequence[Sequence[Tensor]]
"""``logits_BK`` of the teacher for every batch of every epoch, in the order of ``SampleSet.batches``."""


@torch.no_grad()
def teacher_logits(teacher: nn.Module, samples: SampleSet, *, epochs: int, mode: str) -> TeacherLogits:
    """Run a teacher once over the views that all its students will see.

    Args:
        teacher: Its weights and running statistics are left as they were.
        samples: The transfer set.
        epochs: Of the distillation.
        mode: ``eval`` or ``train``, for the teacher's batch normalisation.
    """
    if mode == "eval":
        teacher.eval()
        return [[teacher(batch.images_NCHW) for batch in samples.batches(epoch)] for epoch in range(epochs)]
    statistics = {name: buffer.clone() for name, buffer in teacher.named_buffers()}
    teacher.train()
    logits = [[teacher(batch.images_NCHW) for batch in samples.batches(epoch)] for epoch in range(epochs)]
    for name, buffer in teacher.named_buffers():
        buffer.copy_(statistics[name])
    teacher.eval()
    return logits


def distill(
    student: nn.Module,
    samples: SampleSet,
    *,
    teacher: TeacherLogits | None,
    distillation_weight: float,
    temperature: float | None,
    recipe: DistillConfig,
) -> None:
    """Train ``student`` in place on a transfer set for ``recipe.epochs``.

    Args:
        student: Pre-trained; on its device; channels-last memory. Momentum starts from nothing.
        samples: The transfer set.
        teacher: From ``teacher_logits``; None for a control, whose weight is 0.
        distillation_weight: Weight of the divergence, from 0 to 1.
        temperature: T; None for a control.
        recipe: Epochs, optimiser, schedule and conventions.
    """
    conventions: ConventionsConfig = recipe.conventions
    optimizer = build_optimizer(student, recipe)
    num_steps = recipe.epochs * samples.num_batches
    student.train()
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            step = epoch * samples.num_batches + index
            set_learning_rate(optimizer, learning_rate_at(step, num_steps=num_steps, recipe=recipe))
            optimizer.zero_grad()
            loss = joint_loss(
                student(batch.images_NCHW),
                labels_B=batch.labels_B,
                teacher_logits_BK=None if teacher is None else teacher[epoch][index],
                distillation_weight=distillation_weight,
                temperature=temperature,
                direction=conventions.divergence_direction,
                reduction=conventions.reduction,
                scale_by_temperature_squared=conventions.scale_by_temperature_squared,
            )
            loss.backward()
            optimizer.step()
