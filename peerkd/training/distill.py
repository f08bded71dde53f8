"""The distillation of one student on one transfer set under one setting.

Shape suffixes: B = batch, K = classes.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs.temperature_rule import StepFacts
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.devices import autocast, widened
from peerkd.training.optimizers import Sgd, learning_rate_at
from peerkd.training.own_temperature import OwnTemperature, cross_entropy_gap, own_temperature
from peerkd.training.samples import Batch, Batches

TeacherLogits = Mapping[int, Sequence[Tensor]]
"""The teacher's logits as float32 tensors of shape BK, by epoch and index of the batch.

If a batch has samples without labels, the tensor of the batch has rows for these samples only.
"""


@torch.no_grad()
def teacher_logits(
    teacher: nn.Module, samples: Batches, *, epochs: range, mode: str, precision: str = "float32"
) -> TeacherLogits:
    """Compute a teacher's logits on the augmented batches of a transfer set, once for all students of this teacher.

    Args:
        teacher: The teacher, whose weights and running statistics are left unchanged.
        samples: The transfer set.
        epochs: Epochs of the distillation, counted from 0.
        mode: ``eval`` or ``train``, for the teacher's batch normalisation.
        precision: The precision of the forward passes, ``float32`` or ``bfloat16``.
    """
    statistics = {name: buffer.clone() for name, buffer in teacher.named_buffers()} if mode == "train" else {}
    teacher.train(mode == "train")
    with autocast(samples.device, precision):
        logits = {epoch: [teacher(batch.images_NCHW).float() for batch in samples.batches(epoch)] for epoch in epochs}
    for name, buffer in teacher.named_buffers():
        if name in statistics:
            buffer.copy_(statistics[name])
    teacher.eval()
    return logits


def distill(
    student: nn.Module,
    samples: Batches,
    *,
    teacher: TeacherLogits | None,
    distillation_weight: float,
    temperature: float | None,
    recipe: DistillConfig,
    learning_rate: float | None = None,
    epochs: range | None = None,
    momenta: Mapping[str, Tensor] | None = None,
    known_K: Tensor | None = None,
    own: OwnTemperature | None = None,
    term: DistillationTerm | None = None,
    proximal_weight: float = 0.0,
) -> Mapping[str, Tensor]:
    """Train ``student`` in place on a transfer set, for all epochs of the recipe or for some of them.

    Args:
        student: The pre-trained student, on its device in channels-last memory.
        samples: The transfer set.
        teacher: The logits that the student imitates in these epochs, in the form that ``teacher_logits`` returns; None
            for fine-tuning, whose weight is 0.
        distillation_weight: The weight of the distillation term, from 0 to 1.
        temperature: T; None for fine-tuning. It has no effect if the loss sets its temperature itself.
        recipe: The recipe: epochs, optimiser, schedule, precision, and the loss with its conventions.
        learning_rate: The learning rate of the first step. None means the recipe's rate.
        epochs: The epochs to do, counted from 0. The schedule always covers all the recipe's epochs. None means all
            epochs.
        momenta: The momenta that the call for the preceding epochs returned; None for the first call.
        known_K: Whether the student knows each class. The student imitates the logits of known classes only, and the
            cross entropy omits the samples of unknown classes. None means that the student knows all classes.
        own: The student's temperature after the preceding epochs, if the loss sets its temperature itself. The training
            changes this object in place. None for the first call, or for any other loss.
        term: The distillation term. None means the recipe's term.
        proximal_weight: mu, the weight of a proximal term that is added to the loss: ``mu / 2 ||w - w_0||^2``, where w
            are the student's parameters and w_0 their values at the beginning of this call (Li et al. 2020,
            arXiv:1812.06127, equation 2).

    Returns:
        The momentum of each parameter, by name. A further call with the same student and these momenta continues the
            training as if it had not been interrupted.
    """
    term = recipe.term if term is None else term
    anchors = [parameter.detach().clone() for parameter in student.parameters()] if proximal_weight else []
    optimizer = Sgd(student, recipe, momenta)
    num_steps = recipe.epochs * samples.num_batches
    own = own or own_temperature(term, distillation_weight=distillation_weight)
    student.train()
    for epoch in epochs or range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            step = epoch * samples.num_batches + index
            optimizer.zero_grad()
            with autocast(samples.device, recipe.precision):
                logits_BK = widened(student(batch.images_NCHW))
            teacher_logits_BK = None if teacher is None else teacher[epoch][index]
            now = temperature if own is None else _of_step(own, like=logits_BK)
            loss = joint_loss(
                logits_BK,
                labels_B=batch.labels_B,
                teacher_logits_BK=teacher_logits_BK,
                distillation_weight=distillation_weight,
                temperature=now,
                term=term,
                known_K=known_K,
                num_unlabelled=batch.num_unlabelled,
            )
            loss.backward()
            if proximal_weight:
                # d/dw mu / 2 ||w - w_0||^2 = mu (w - w_0).
                for parameter, anchor in zip(student.parameters(), anchors, strict=True):
                    if parameter.grad is not None:
                        parameter.grad.add_(parameter.detach() - anchor, alpha=proximal_weight)
            rate = learning_rate_at(step, num_steps=num_steps, recipe=recipe, learning_rate=learning_rate)
            optimizer.step(rate)
            if own is not None:
                own.step(
                    StepFacts(
                        progress=(step + 1) / num_steps,
                        learning_rate=rate,
                        cross_entropy_gap=_gap(own, logits_BK, teacher_logits_BK, batch, known_K=known_K),
                        temperature_slope=_slope(now),
                    )
                )
    return optimizer.momenta


def _of_step(own: OwnTemperature, *, like: Tensor) -> float | Tensor:
    """Return the temperature of the next step for a student whose loss sets T itself, as a number or a tensor.

    If the loss needs its derivative with respect to T in order to set T, the result is a tensor, in which the backward
    pass stores this derivative. Otherwise the result is a number.

    Args:
        own: The temperature of the student.
        like: A tensor with the type and the device that the result should have.
    """
    if not own.rule.needs_slope:
        return own.value
    return torch.tensor(own.value, dtype=like.dtype, device=like.device, requires_grad=True)


def _slope(temperature: float | Tensor | None) -> float:
    """Return the derivative of the loss of a step with respect to the temperature, after the backward pass.

    The result is 0 if the temperature is a number, because the backward pass can store a derivative only in a tensor.
    """
    if not isinstance(temperature, Tensor) or temperature.grad is None:
        return 0.0
    return float(temperature.grad)


def _gap(
    own: OwnTemperature, logits_BK: Tensor, teacher_logits_BK: Tensor | None, batch: Batch, *, known_K: Tensor | None
) -> float:
    if not own.rule.needs_gap or teacher_logits_BK is None:
        return 0.0
    return cross_entropy_gap(logits_BK, teacher_logits_BK, batch.labels_B, known_K=known_K)
