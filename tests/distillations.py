"""Trials small enough to repeat many times: 23 grey images of 8x8 in batches of 7 and 8, three epochs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.losses import loss_section
from peerkd.config.training import ConventionsConfig, DistillConfig
from peerkd.losses.pairs.loss import PairLoss
from peerkd.training.captured.lanes import MAX_LANES, EagerSteps, Lanes, Steps
from peerkd.training.captured.step import BatchBuffers
from peerkd.training.distill import TeacherLogits, distill, teacher_logits
from peerkd.training.joined_samples import JoinedSamples, TransferSamples
from peerkd.training.optimizers import Sgd
from peerkd.training.peers import build_peer
from peerkd.training.samples import SampleSet
from peerkd.training.trial_state import TrialState
from tests.trainings import make_dataset

NUM_EPOCHS = 3
PLENTY = 2**40


class TrialSpec(NamedTuple):
    """A trial, given by the seeds of its networks."""

    student: int
    teacher: int | None
    weight: float
    temperature: float | None
    learning_rate: float | None = None


class ReferenceSgd(Sgd):
    """The formula of ``torch.optim.SGD`` (its documentation) for each parameter, which rounds the product with the
    rate before it adds it.
    """

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        for name, parameter in self._parameters.items():
            assert parameter.grad is not None
            gradient = parameter.grad.add(parameter, alpha=self._recipe.weight_decay)
            if self._recipe.momentum:
                momentum = self._momenta.get(name)
                momentum = gradient if momentum is None else momentum * self._recipe.momentum + gradient
                gradient = gradient.add(momentum, alpha=self._recipe.momentum) if self._recipe.nesterov else momentum
                self._momenta[name] = momentum
            parameter.sub_(gradient * learning_rate)


class Trials:
    """Students, teachers and samples of one architecture and recipe, on a device."""

    def __init__(
        self,
        architecture: str = "small_cnn",
        *,
        device: str = "cpu",
        loss: PairLoss | None = None,
        num_unlabelled: int = 0,
        **recipe: Any,
    ) -> None:
        self.device = torch.device(device)
        self.dataset = make_dataset(23)
        self.architecture = architecture
        self.recipe = DistillConfig(**{"epochs": NUM_EPOCHS, "batch_size": 10, **recipe})
        if loss:
            # A copy, because a config refuses a loss that is not registered.
            self.recipe = self.recipe.model_copy(update={"loss": loss_section(loss).model_validate({})})
        self.samples: TransferSamples = self.sample_set(23)
        self._taught = self.sample_set(23)
        if num_unlabelled:
            self._taught = self.sample_set(num_unlabelled, name="unlabelled")
            self.samples = JoinedSamples(self.sample_set(23), self._taught)

    def sample_set(self, num_samples: int, *, name: str = "train") -> SampleSet:
        return SampleSet(
            self.dataset,
            np.arange(23 - num_samples, 23),
            name=name,
            batch_size=self.recipe.batch_size,
            crop_padding_pixels=1,
            horizontal_flip=True,
            seed=0,
            device=self.device,
        )

    def network(self, seed: int) -> torch.nn.Module:
        return build_peer(PeerNetwork(self.architecture), self.dataset, seed=seed).to(self.device)

    def teacher(self, seed: int | None) -> TeacherLogits | None:
        if seed is None:
            return None
        epochs = range(self.recipe.epochs)
        if not isinstance(self.samples, JoinedSamples):
            return teacher_logits(self.network(seed), self._taught, epochs=epochs, mode="eval")
        passes = self.samples.unlabelled_epochs(epochs)
        logits = teacher_logits(self.network(seed), self._taught, epochs=passes, mode="eval")
        return {epoch: self.samples.in_batches(logits, epoch) for epoch in epochs}

    def start(self, seed: int) -> TrialState:
        return TrialState(self.network(seed).state_dict(), {})

    def alone(self, spec: TrialSpec) -> TrialState:
        """Train a trial with ``distill``."""
        student = self.network(spec.student)
        momenta = distill(
            student,
            self.samples,
            teacher=self.teacher(spec.teacher),
            distillation_weight=spec.weight,
            temperature=spec.temperature,
            recipe=self.recipe,
            learning_rate=spec.learning_rate,
        )
        return TrialState(student.state_dict(), momenta)

    def lanes(
        self,
        *,
        make_steps: Callable[[], Steps] = EagerSteps,
        free_bytes: Callable[[], int] = lambda: PLENTY,
        budget_bytes: int = PLENTY,
    ) -> Lanes:
        place = BatchBuffers(
            num_samples=max(self.samples.batch_sizes).num_samples,
            image_shape_CHW=self.dataset.image_shape,
            num_classes=self.dataset.num_classes,
            device=self.device,
            num_lanes=MAX_LANES,
        )
        return Lanes(
            lambda: self.network(0),
            place,
            recipe=self.recipe,
            make_steps=make_steps,
            free_bytes=free_bytes,
            budget_bytes=budget_bytes,
        )

    def in_lanes(
        self,
        lanes: Lanes,
        specs: Sequence[TrialSpec],
        *,
        starts: Sequence[TrialState] | None = None,
        epochs: range = range(NUM_EPOCHS),
    ) -> list[TrialState]:
        """Train trials together in the first lanes, and return copies of their final states."""
        lanes.grow(len(specs), batch_sizes=self.samples.batch_sizes)
        for number, start in enumerate(starts or [self.start(each.student) for each in specs]):
            lanes.put(number, start)
        lanes.train(
            self.samples,
            teacher_logits=[self.teacher(each.teacher) for each in specs],
            distillation_weights=[each.weight for each in specs],
            temperatures=[each.temperature for each in specs],
            learning_rates=[each.learning_rate for each in specs],
            epochs=epochs,
        )
        return [TrialState(copied(state.weights), copied(state.momenta)) for state in lanes.states(len(specs))]


def copied(tensors: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def all_conventions() -> list[ConventionsConfig]:
    return [
        ConventionsConfig(reduction=reduction, scale_by_temperature_squared=is_scaled)
        for reduction in ("batchmean", "mean")
        for is_scaled in (True, False)
    ]


def assert_same(got: TrialState, expected: TrialState) -> None:
    assert got.own_temperature == expected.own_temperature
    for ours, theirs in ((got.weights, expected.weights), (got.momenta, expected.momenta)):
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert torch.equal(ours[name], tensor), name
