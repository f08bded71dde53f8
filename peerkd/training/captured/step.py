"""One step of distillation over tensors that stay where they are, so that it can be captured once and replayed.

Whatever differs between steps, trials and students is read from these tensors and nothing from Python: one capture
serves them all. Gradients are those of ``peerkd.training.distill`` to the last bit on a CPU; the weights then differ
by the rounding of one product, since a learning rate that is a tensor cannot be folded into the addition.

Shape suffixes: M = samples of the largest batch, B = of this one, N = images, C = image channels, H W = image size,
K = classes, L = lanes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peerkd.config.training import DistillConfig
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.training.checkpoints import copy_state
from peerkd.training.optimizers import sgd_directions
from peerkd.training.precision import autocast
from peerkd.training.samples import Batch
from peerkd.training.trial_state import TrialState


class BatchPlace:
    """Where each batch is put, for all students that train at once."""

    def __init__(
        self,
        *,
        num_samples: int,
        image_shape_CHW: tuple[int, int, int],
        num_classes: int,
        device: torch.device,
        num_lanes: int = 1,
    ) -> None:
        """Make room for batches of up to ``num_samples``, and for so many students' rates."""
        self.device = device
        self.num_classes = num_classes
        self._images_MCHW = torch.zeros(num_samples, *image_shape_CHW, device=device).contiguous(
            memory_format=torch.channels_last
        )
        self._labels_M = torch.zeros(num_samples, dtype=torch.int64, device=device)
        self.learning_rates_L = torch.zeros(num_lanes, device=device)

    def put(self, batch: Batch, *, learning_rates_L: Tensor) -> None:
        """Copy a batch and the rates of its step in the first lanes, all on the device; nothing waits for it."""
        num_samples = len(batch.labels_B)
        self.images(num_samples).copy_(batch.images_NCHW)
        self.labels(num_samples).copy_(batch.labels_B)
        self.learning_rates_L[: len(learning_rates_L)].copy_(learning_rates_L)

    @property
    def num_samples(self) -> int:
        """M."""
        return len(self._labels_M)

    def images(self, num_samples: int) -> Tensor:
        """Return the part that batches of this size are put in, ``images_BCHW``."""
        return self._images_MCHW[:num_samples]

    def labels(self, num_samples: int) -> Tensor:
        """Return the part that batches of this size are put in, ``labels_B``."""
        return self._labels_M[:num_samples]


class StudentPlace:
    """Where a student, its momenta, its teacher's logits and its setting are put, one after another's."""

    def __init__(self, network: nn.Module, place: BatchPlace, *, lane: int = 0) -> None:
        """Take over a network, of which only the tensors will change, and the rates of a lane."""
        self.network = network
        self._parameters: dict[str, Tensor] = dict(network.named_parameters())
        self._momenta = {name: torch.zeros_like(tensor).detach() for name, tensor in self._parameters.items()}
        self._teacher_logits_MK = torch.zeros(place.num_samples, place.num_classes, device=place.device)
        self.learning_rate = place.learning_rates_L[lane]
        # 0-dimensional parts of one tensor, so that a setting is one copy.
        self._setting = torch.zeros(4, device=place.device)
        self.temperature, self.term_factor, self.term_weight, self.label_weight = self._setting

    @property
    def parameters(self) -> list[Tensor]:
        """What steps change, in an order that stays."""
        return list(self._parameters.values())

    @property
    def momenta(self) -> list[Tensor]:
        """The momentum of each parameter; zeros before the first step."""
        return list(self._momenta.values())

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step changes."""
        return [*self.network.state_dict().values(), *self._momenta.values()]

    def put_state(self, start: TrialState) -> None:
        """Copy where a student stands."""
        copy_state(start.weights, self.network)
        for name, momentum in self._momenta.items():
            if name in start.momenta:
                momentum.copy_(start.momenta[name])
            else:
                momentum.zero_()

    def put_setting(self, *, distillation_weight: float, temperature: float | None, term: DistillationTerm) -> None:
        """Copy the setting of a trial, rounded to float32 as torch rounds a number that meets a tensor.

        Raises:
            ValueError: If the weight is outside 0 to 1, or a temperature is not above 0 or missing where it counts.
        """
        if not 0 <= distillation_weight <= 1:
            raise ValueError(f"distillation_weight must be from 0 to 1, got {distillation_weight}.")
        if temperature is None and distillation_weight > 0:
            raise ValueError(f"temperature is required when distillation_weight is {distillation_weight}.")
        if temperature is not None and temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        temperature = temperature or 1.0
        factor = temperature**2 if term.scale_by_temperature_squared else 1.0
        self._setting.copy_(torch.tensor([temperature, factor, distillation_weight, 1 - distillation_weight]))
        # Those of a teacher before might not be finite, and then no weight would make them nothing.
        self._teacher_logits_MK.zero_()

    def put_teacher(self, logits_BK: Tensor) -> None:
        """Copy what the teacher says of the batch."""
        self.teacher_logits(len(logits_BK)).copy_(logits_BK)

    def teacher_logits(self, num_samples: int) -> Tensor:
        """Return the part that is for batches of this size, ``logits_BK``."""
        return self._teacher_logits_MK[:num_samples]

    def state(self) -> Mapping[str, Tensor]:
        """Return the ``state_dict`` of the network, not copied."""
        return self.network.state_dict()

    def named_momenta(self) -> Mapping[str, Tensor]:
        """Return the momentum of each parameter by its name, not copied."""
        return dict(self._momenta)


def take_step(student: StudentPlace, place: BatchPlace, *, num_samples: int, recipe: DistillConfig) -> None:
    """Change a student as ``distill`` does with one batch, by what is in the two places now.

    Both terms of the loss are always computed: of weight 0, one adds nothing, to the last bit.

    Args:
        student: Its network must be in training mode.
        place: Holds the batch and the learning rates.
        num_samples: B, of the batch.
        recipe: Precision, loss, momentum and weight decay.
    """
    gradients = _gradients(student, place, num_samples=num_samples, recipe=recipe)
    with torch.no_grad():
        directions = sgd_directions(student.parameters, gradients, student.momenta, recipe=recipe)
        # Not an addition with the rate as its factor: torch would read the rate, and so wait for the device.
        torch._foreach_sub_(student.parameters, torch._foreach_mul(directions, student.learning_rate))


def _gradients(
    student: StudentPlace, place: BatchPlace, *, num_samples: int, recipe: DistillConfig
) -> tuple[Tensor, ...]:
    with autocast(place.device, recipe.precision):
        logits_BK = student.network(place.images(num_samples)).float()
    labels_B = place.labels(num_samples)
    # The factor T^2 is in the student's place: squared on the device, T would be rounded to float32 first.
    term = recipe.term._replace(scale_by_temperature_squared=False)
    distilled = term.reduced(
        logits_BK, student.teacher_logits(num_samples), labels_B=labels_B, temperature=student.temperature
    )
    cross_entropy = F.cross_entropy(logits_BK, labels_B)
    terms = (
        student.term_weight * (student.term_factor * distilled),
        student.label_weight * cross_entropy,
    )
    return torch.autograd.grad(torch.stack(terms).sum(), student.parameters)
