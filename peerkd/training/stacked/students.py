"""Students of one architecture that train side by side, each as ``peerkd.training.distill.distill`` trains it alone.

A student's result does not depend, in any bit, on the number of students, on the student's index or on the other
students: no operation adds over students, and all students' parts of a tensor have the same alignment in memory. This
holds for computation in one thread, and processes have only one. The result differs from that of ``distill`` by
rounding, because sums are computed in another order.

Shape suffixes: G = students, B = batch, N = images, C = image channels, H W = image size, K = classes, J = rows of the
logits: one for each class, and rows of zeros as padding.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.config.training import DistillConfig
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.models.build import build_network
from peerkd.training.distill import TeacherLogits
from peerkd.training.optimizers import learning_rate_at, sgd_directions
from peerkd.training.own_temperature import OwnTemperature, own_temperature
from peerkd.training.samples import Batches
from peerkd.training.stacked.flat import FlatTensors
from peerkd.training.stacked.losses import StackedObjective
from peerkd.training.stacked.mlp import StackedMlp
from peerkd.training.stacked.small_cnn import StackedSmallCnn

_NUM_EVALUATED_IMAGES: Final = 100
"""The number of images that are evaluated at once. The activations of more images would not fit into the CPU's cache.
"""


class _StackedNetwork(Protocol):
    """The forward and backward passes of G networks of one architecture."""

    def share(self, images_BCHW: Tensor) -> Any: ...
    def forward(self, shared: Any, /) -> Tensor: ...
    def backward(self, grad_GJB: Tensor) -> None: ...
    def evaluate(self, images_BCHW: Tensor) -> Tensor: ...


_NETWORKS: Final[Mapping[str, Callable[..., _StackedNetwork]]] = {"mlp": StackedMlp, "small_cnn": StackedSmallCnn}

STACKABLE: Final[frozenset[str]] = frozenset(_NETWORKS)
"""The architectures whose students can train side by side, by name, each with the class that computes its passes."""

_MAX_PIXELS: Final[Mapping[str, int]] = {"small_cnn": 1024}
"""The maximum number of pixels times channels of an image for which students train side by side.

Up to this number, training side by side was measured to be faster than training one student after another. The limit is
fixed and not measured on each machine, because the two ways of training give results that differ in their last bits.
"""


def should_stack(architecture: str, *, image_shape_CHW: tuple[int, int, int]) -> bool:
    """Return whether students of an architecture should train side by side on images of this shape."""
    num_pixels = math.prod(image_shape_CHW)
    return architecture in STACKABLE and num_pixels <= _MAX_PIXELS.get(architecture, num_pixels)


@cache
def _tensors(
    architecture: str, image_shape_CHW: tuple[int, int, int], num_classes: int
) -> tuple[Mapping[str, torch.Size], Sequence[str]]:
    """Return the shapes of a network's parameters by name, and the names of its buffers."""
    plain = build_network(architecture, image_shape_CHW=image_shape_CHW, num_classes=num_classes, seed=0)
    return {name: each.shape for name, each in plain.named_parameters()}, [name for name, _ in plain.named_buffers()]


class Students:
    """G networks of one architecture that train side by side on the same images."""

    def __init__(
        self,
        architecture: str,
        states: Sequence[Mapping[str, Tensor]],
        *,
        image_shape_CHW: tuple[int, int, int],
        num_classes: int,
        momenta: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Create students with copies of the given tensors.

        Args:
            architecture: One of ``STACKABLE``.
            states: The ``state_dict`` of each student's network, on the CPU. All computation has the precision of the
                first student's weights.
            image_shape_CHW: The shape of the images, as for ``build_network``.
            num_classes: K.
            momenta: For each student, the momenta that ``momentum`` or ``distill`` returned earlier. An empty mapping
                means that the student has taken no step. None means that no student has taken a step.

        Raises:
            ValueError: If the architecture is not one of ``STACKABLE``, or there is no student.
        """
        if architecture not in STACKABLE:
            raise ValueError(f"architecture must be one of {', '.join(sorted(STACKABLE))}, got {architecture}.")
        if not states:
            raise ValueError("states must contain at least 1 student, got 0.")
        shapes, statistics = _tensors(architecture, image_shape_CHW, num_classes)
        self._num_classes = num_classes
        self._dtype = states[0]["classifier.weight"].dtype
        self._weights, self._gradients, self._momenta = (
            FlatTensors(shapes, num_students=len(states), dtype=self._dtype) for _ in range(3)
        )
        for index, (state, momentum) in enumerate(zip(states, momenta or [{}] * len(states), strict=True)):
            self._weights.put(index, state)
            if momentum:
                self._momenta.put(index, momentum)
        self._statistics = {name: torch.stack([state[name] for state in states]) for name in statistics}
        self._networks = _NETWORKS[architecture](
            self._weights.named, gradients=self._gradients.named, statistics=self._statistics
        )

    def train(
        self,
        samples: Batches,
        *,
        teacher_logits: Sequence[TeacherLogits | None],
        distillation_weights: Sequence[float],
        temperatures: Sequence[float | None],
        learning_rates: Sequence[float | None] | None = None,
        own: Sequence[OwnTemperature | None] | None = None,
        recipe: DistillConfig,
        epochs: range,
        term: DistillationTerm | None = None,
        proximal_weight: float = 0.0,
    ) -> None:
        """Train all students for some epochs of a recipe. All earlier epochs must have been done.

        Args:
            samples: The transfer set.
            teacher_logits: For each student, the logits that it imitates in these epochs; None for fine-tuning.
                Students of one teacher should be given the same object, which is then read once.
            distillation_weights: The weight of each student's distillation term, from 0 to 1.
            temperatures: T of each student; None for fine-tuning. They have no effect if the loss sets its temperature
                itself.
            learning_rates: The learning rate of each student's first step. None for a student means the recipe's rate,
                and None in place of the sequence means the recipe's rate for all students.
            own: The temperature of each student after the preceding epochs, if the loss sets its temperature itself;
                None for fine-tuning. The training changes these objects in place. None in place of the sequence means
                that no epoch has been done, or that the loss does not set its temperature.
            recipe: The recipe: optimiser, loss, and a schedule that covers all epochs of the recipe.
            epochs: The epochs to do, counted from 0.
            term: The distillation term. None means the recipe's term.
            proximal_weight: mu, the weight of the proximal term ``mu / 2 ||w - w_0||^2`` that is added to each
                student's loss. w are the student's parameters and w_0 their values at the beginning of this call.

        Raises:
            ValueError: If one of the sequences does not have one value for each student, a weight is outside 0 to 1, a
                temperature is not above 0, or a student with a weight above 0 has no logits or no temperature.
        """
        num_students = len(self._weights.named["classifier.bias"])
        learning_rates = [None] * num_students if learning_rates is None else learning_rates
        for name, each in (("distillation_weights", distillation_weights), ("learning_rates", learning_rates)):
            if len(each) != num_students:
                raise ValueError(f"{name} must have one value for each student ({num_students}), got {len(each)}.")
        term = recipe.term if term is None else term
        objective = StackedObjective(
            teacher_logits=teacher_logits,
            distillation_weights=distillation_weights,
            temperatures=temperatures,
            term=term,
            dtype=self._dtype,
            own=own or [own_temperature(term, distillation_weight=weight) for weight in distillation_weights],
        )
        num_steps = recipe.epochs * samples.num_batches
        indices_of_rate: dict[float | None, list[int]] = {}
        for index, rate in enumerate(learning_rates):
            indices_of_rate.setdefault(rate, []).append(index)
        # The first rate serves all numbers; each other rate needs a mask of the numbers of its students.
        are_others = [self._weights.are_of(indices) for indices in list(indices_of_rate.values())[1:]]
        anchors = self._weights.numbers.clone() if proximal_weight else None
        # Not inference_mode: the batches are kept, and other students may be trained on them by autograd.
        with torch.no_grad():
            for epoch in epochs:
                for index, batch in enumerate(samples.batches(epoch)):
                    logits_GJB = self._networks.forward(self._networks.share(batch.images_NCHW.to(self._dtype)))
                    logits_GKB = logits_GJB[:, : self._num_classes]
                    step = epoch * samples.num_batches + index
                    now = {
                        rate: learning_rate_at(step, num_steps=num_steps, recipe=recipe, learning_rate=rate)
                        for rate in indices_of_rate
                    }
                    # Forward to the logits, the loss's gradient for them by formula, then backward from there.
                    grad_GKB = objective.gradient(
                        logits_GKB,
                        labels_B=batch.labels_B,
                        num_unlabelled=batch.num_unlabelled,
                        epoch=epoch,
                        batch=index,
                        progress=(step + 1) / num_steps,
                        learning_rates=[now[rate] for rate in learning_rates],
                    )
                    # The padding rows of the classifier have no part in the loss: their gradient is 0.
                    num_padding_rows = logits_GJB.shape[1] - self._num_classes
                    self._networks.backward(F.pad(grad_GKB, (0, 0, 0, num_padding_rows)))
                    if anchors is not None:
                        self._gradients.numbers.add_(self._weights.numbers - anchors, alpha=proximal_weight)
                    first_now, *others_now = now.values()
                    self._step(first_now, zip(others_now, are_others, strict=True), recipe)

    @torch.no_grad()
    def logits(self, images_NCHW: Tensor) -> Tensor:
        """Return the logits of all students in evaluation mode, of shape GNK."""
        parts = images_NCHW.to(self._dtype).split(_NUM_EVALUATED_IMAGES)
        logits_GJN = torch.cat([self._networks.evaluate(images_BCHW) for images_BCHW in parts], dim=2)
        return logits_GJN[:, : self._num_classes].transpose(1, 2).contiguous()

    def state(self, index: int) -> dict[str, Tensor]:
        """Return a copy of the ``state_dict`` of one student's network."""
        statistics = {name: stacked[index].clone() for name, stacked in self._statistics.items()}
        return self._weights.take(index) | statistics

    def are_finite(self) -> list[bool]:
        """Return for each student whether its weights, statistics and momenta are all finite numbers."""
        of_students = [*self._weights.of_students(), *self._momenta.of_students(), *self._statistics.values()]
        flags_G = torch.ones(len(self._weights.named["classifier.bias"]), dtype=torch.bool)
        for tensor in of_students:
            if tensor.is_floating_point():
                flags_G &= tensor.isfinite().flatten(1).all(dim=1)
        return flags_G.tolist()

    def momentum(self, index: int) -> dict[str, Tensor]:
        """Return copies of the momenta of one student's parameters, by name."""
        return self._momenta.take(index)

    def _step(self, learning_rate: float, others: Iterable[tuple[float, Tensor]], recipe: DistillConfig) -> None:
        """Do a step of SGD for all parameters of all students.

        Args:
            learning_rate: The learning rate of all students that are in no mask of ``others``.
            others: The learning rates of the remaining students: pairs of a rate and a mask, which is True for the
                weights of the students with this rate.
            recipe: Momentum and weight decay.
        """
        weights = self._weights.numbers
        (directions,) = sgd_directions([weights], [self._gradients.numbers], [self._momenta.numbers], recipe=recipe)
        # Every rate is applied to all numbers. A product and a sum are rounded once in add(alpha), but twice with a
        # tensor of rates, and a student must end in the same bits whatever the rates of the other students.
        moved = [(are_theirs, weights.add(directions, alpha=-rate)) for rate, are_theirs in others]
        weights.add_(directions, alpha=-learning_rate)
        for are_theirs, with_their_rate in moved:
            torch.where(are_theirs, with_their_rate, weights, out=weights)
