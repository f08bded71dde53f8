"""One step of distillation on tensors that stay in place, so that it can be captured once and replayed.

A captured step reads everything that differs between steps, trials and students from these tensors, and nothing from
Python objects. One capture can therefore be replayed for all of them.

On a CPU, the gradients equal those of ``peerkd.training.distill`` to the last bit. The weights after the step may
differ in the last bits, because the learning rate is in a tensor: its product with the direction is rounded before the
addition.

Shape suffixes: M = samples of the largest batch, B = samples of this batch, N = images, C = image channels, H W = image
size, K = classes, L = lanes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.losses.distillation import rows_of_terms
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import autocast
from peerkd.training.optimizers import sgd_directions
from peerkd.training.samples import Batch, BatchSize
from peerkd.training.trial_state import TrialState


class BatchBuffers:
    """The buffers of the current batch, which all students that train at once share."""

    def __init__(
        self,
        *,
        num_samples: int,
        image_shape_CHW: tuple[int, int, int],
        num_classes: int,
        device: torch.device,
        num_lanes: int = 1,
    ) -> None:
        """Allocate memory for batches of up to ``num_samples`` samples, and for a learning rate for each lane."""
        self.device = device
        self.num_classes = num_classes
        self._images_MCHW = torch.zeros(num_samples, *image_shape_CHW, device=device).contiguous(
            memory_format=torch.channels_last
        )
        self._labels_M = torch.zeros(num_samples, dtype=torch.int64, device=device)
        self.learning_rates_L = torch.zeros(num_lanes, device=device)

    def put(self, batch: Batch, *, learning_rates_L: Tensor) -> None:
        """Copy a batch and the learning rates of the first lanes into the buffers.

        The copies are queued on the device, and the call does not wait for them.
        """
        self.images(batch.size.num_samples).copy_(batch.images_NCHW)
        self.labels(batch.size.num_labelled).copy_(batch.labels_B)
        self.learning_rates_L[: len(learning_rates_L)].copy_(learning_rates_L)

    @property
    def num_samples(self) -> int:
        """M, the largest size of a batch."""
        return len(self._labels_M)

    def images(self, num_samples: int) -> Tensor:
        """Return the images in the buffer for a batch of this size: a view of shape BCHW."""
        return self._images_MCHW[:num_samples]

    def labels(self, num_samples: int) -> Tensor:
        """Return the labels of the first ``num_samples`` samples with labels: a view of shape B."""
        return self._labels_M[:num_samples]


class StudentBuffers:
    """The buffers of one lane, for one student at a time: network, momenta, teacher's logits and setting."""

    def __init__(self, network: nn.Module, batch: BatchBuffers, *, lane: int = 0) -> None:
        """Use the tensors of a network as buffers, and ``batch`` as the source of the lane's learning rate.

        Args:
            network: The network. Its tensors will be changed in place, and it must not be used for anything else.
            batch: The buffers of the batches.
            lane: The index of the lane.
        """
        self.network = network
        self._parameters: dict[str, Tensor] = dict(network.named_parameters())
        self._momenta = {name: torch.zeros_like(tensor).detach() for name, tensor in self._parameters.items()}
        self._teacher_logits_MK = torch.zeros(batch.num_samples, batch.num_classes, device=batch.device)
        self.learning_rate = batch.learning_rates_L[lane]
        # 0-dimensional parts of one tensor, so that a setting is one copy.
        self._setting = torch.zeros(4, device=batch.device)
        self.temperature, self.term_factor, self.term_weight, self.label_weight = self._setting

    @property
    def parameters(self) -> list[Tensor]:
        """The trained parameters of the network, in a fixed order."""
        return list(self._parameters.values())

    @property
    def momenta(self) -> list[Tensor]:
        """The momentum of each parameter; zeros before the first step."""
        return list(self._momenta.values())

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors that a step changes."""
        return [*self.network.state_dict().values(), *self._momenta.values()]

    def put_state(self, start: TrialState) -> None:
        """Copy the state of a student into the buffers."""
        copy_state(start.weights, self.network)
        for name, momentum in self._momenta.items():
            if name in start.momenta:
                momentum.copy_(start.momenta[name])
            else:
                momentum.zero_()

    def put_setting(self, *, distillation_weight: float, temperature: float | None, term: DistillationTerm) -> None:
        """Copy the setting of a trial into the buffers.

        The numbers are rounded to float32, as torch rounds a number that multiplies a float32 tensor.

        Args:
            distillation_weight: The weight of the distillation term, from 0 to 1.
            temperature: T, above 0; None for fine-tuning.
            term: The distillation term, which says whether the divergence is multiplied by T^2.

        Raises:
            ValueError: If the weight is outside 0 to 1, the temperature is not above 0, or the temperature is None and
                the weight is above 0.
        """
        if not 0 <= distillation_weight <= 1:
            raise ValueError(f"distillation_weight must be from 0 to 1, got {distillation_weight}.")
        if temperature is None and distillation_weight > 0:
            raise ValueError(f"temperature is required when distillation_weight is {distillation_weight}.")
        if temperature is not None and temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        temperature = temperature or 1.0
        factor = temperature**2 if term.scale_by_temperature_squared else 1.0
        # 1 - w is rounded to float32 once. On the device it would be computed from a rounded w, as distill does not.
        self._setting.copy_(torch.tensor([temperature, factor, distillation_weight, 1 - distillation_weight]))
        # Logits of an earlier teacher may not be finite, and 0 times NaN is NaN.
        self._teacher_logits_MK.zero_()

    def put_teacher(self, logits_BK: Tensor) -> None:
        """Copy the teacher's logits for the current batch into the buffers."""
        self.teacher_logits(len(logits_BK)).copy_(logits_BK)

    def teacher_logits(self, num_samples: int) -> Tensor:
        """Return the teacher's logits for the first ``num_samples`` samples of the divergence: a view of shape BK."""
        return self._teacher_logits_MK[:num_samples]

    def state(self) -> Mapping[str, Tensor]:
        """Return the ``state_dict`` of the network. The tensors are not copied."""
        return self.network.state_dict()

    def named_momenta(self) -> Mapping[str, Tensor]:
        """Return the momentum of each parameter by the parameter's name. The tensors are not copied."""
        return dict(self._momenta)


def take_step(student: StudentBuffers, batch: BatchBuffers, *, size: BatchSize, recipe: DistillConfig) -> None:
    """Do the training step of ``peerkd.training.distill.distill`` on the current contents of the buffers.

    Both terms of the loss are always computed. A term with the weight 0 changes no bit of the result.

    Args:
        student: The student's buffers. Its network must be in training mode.
        batch: The buffers of the batch and the learning rates.
        size: The size of the batch.
        recipe: Precision, loss, momentum and weight decay.
    """
    # directions from (gradients, momenta), then parameters <- parameters - rate * directions; see ``sgd_directions``.
    gradients = _gradients(student, batch, size=size, recipe=recipe)
    with torch.no_grad():
        directions = sgd_directions(student.parameters, gradients, student.momenta, recipe=recipe)
        # Not add(alpha=rate): torch would read the rate from its tensor, and so wait for the device.
        torch._foreach_sub_(student.parameters, torch._foreach_mul(directions, student.learning_rate))


def _gradients(
    student: StudentBuffers, batch: BatchBuffers, *, size: BatchSize, recipe: DistillConfig
) -> tuple[Tensor, ...]:
    with autocast(batch.device, recipe.precision):
        logits_BK = student.network(batch.images(size.num_samples)).float()
    labels_B = batch.labels(size.num_labelled)
    labelled_BK, taught_BK = rows_of_terms(logits_BK, num_unlabelled=size.num_unlabelled)
    # The loss is w c D(z / T) + (1 - w) CE(z, y), as in peerkd.losses.distillation, where c is T^2 or 1. The factor c
    # is in the student's buffers: T^2 of a T that was rounded to float32 would have other bits.
    term = recipe.term._replace(scale_by_temperature_squared=False)
    distilled = term.reduced(
        taught_BK,
        student.teacher_logits(size.num_taught),
        labels_B=None if size.num_unlabelled else labels_B,
        temperature=student.temperature,
    )
    cross_entropy = F.cross_entropy(labelled_BK, labels_B)
    terms = (
        student.term_weight * (student.term_factor * distilled),
        student.label_weight * cross_entropy,
    )
    return torch.autograd.grad(torch.stack(terms).sum(), student.parameters)
