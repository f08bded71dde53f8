"""The training of the peers of one network in a round: side by side where they see the same batches.

Shape suffixes: K = classes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs.term import HINTON
from peerkd.rounds.method import Teaching, Weights
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import autocast, seeded, widened
from peerkd.training.distill import TeacherLogits, distill
from peerkd.training.optimizers import Sgd, learning_rate_at
from peerkd.training.peers import known_classes
from peerkd.training.rounds.data import RoundsData
from peerkd.training.samples import Batches
from peerkd.training.stacked.students import Students

_MUTUAL_WEIGHT = 0.5
"""The weight of the divergence in mutual learning. The loss is half the sum of both terms, whose weights are equal in
Zhang et al. 2018, arXiv:1706.00384, equation 4, so that the scale of all methods' losses is the same."""


def train_students(
    data: RoundsData,
    network: PeerNetwork,
    starts: Sequence[Weights],
    samples: Batches,
    *,
    targets: Sequence[TeacherLogits | None],
    teachings: Sequence[Teaching | None],
    recipe: DistillConfig,
    proximal_weight: float = 0.0,
    noise_seeds: Sequence[int],
) -> list[Weights]:
    """Return the weights of some students of one network after the epochs of a recipe on the same batches.

    Args:
        data: The data of the rounds.
        network: The network of all students.
        starts: The weights from which each student starts.
        samples: The batches.
        targets: What each student imitates, by epoch and batch; None trains on the labels alone.
        teachings: The loss of each target, None where it is None. All have the same term.
        recipe: Epochs, optimiser and schedule.
        proximal_weight: See ``distill``.
        noise_seeds: For each student, the seed of what a network of another package draws at random.
    """
    terms = {id(each.term): each.term for each in teachings if each}
    term = next(iter(terms.values()), HINTON)
    weights = [each.distillation_weight if each else 0.0 for each in teachings]
    temperatures = [each.temperature if each else None for each in teachings]
    if data.is_stacked(network):
        students = Students(
            network.name, starts, image_shape_CHW=data.dataset.image_shape, num_classes=data.dataset.num_classes
        )
        students.train(
            samples,
            teacher_logits=targets,
            distillation_weights=weights,
            temperatures=temperatures,
            recipe=recipe,
            epochs=range(recipe.epochs),
            term=term,
            proximal_weight=proximal_weight,
        )
        return [students.state(index) for index in range(len(starts))]
    module, trained = data.network(network), list[Weights]()
    for start, target, weight, temperature, seed in zip(
        starts, targets, weights, temperatures, noise_seeds, strict=True
    ):
        copy_state(start, module)
        with nullcontext() if network.is_built_in else seeded(seed, samples.device):
            distill(
                module,
                samples,
                teacher=target,
                distillation_weight=weight,
                temperature=temperature,
                recipe=recipe,
                known_K=known_classes(network, data.dataset, device=data.device),
                term=term,
                proximal_weight=proximal_weight,
            )
        trained.append(copied_state(module))
    return trained


def train_mutually(
    data: RoundsData, network: PeerNetwork, received: Weights, own: Weights, samples: Batches, *, recipe: DistillConfig
) -> Weights:
    """Return the weights of a peer's own network after learning together with a received one on the peer's samples.

    In each step, both networks predict the batch, and each minimises ``(CE + KL(p_other || p)) / 2`` with the other's
    prediction as a constant (Zhang et al. 2018, arXiv:1706.00384, equations 3 to 6, with simultaneous steps).
    """
    module = data.network(network)
    networks = [module, deepcopy(module)]
    for each, start in zip(networks, (own, received), strict=True):
        copy_state(start, each)
        each.train()
    known_K = known_classes(network, data.dataset, device=data.device)
    optimizers = [Sgd(each, recipe) for each in networks]
    num_steps = recipe.epochs * samples.num_batches
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            with autocast(samples.device, recipe.precision):
                logits_BK = [widened(each(batch.images_NCHW)) for each in networks]
            rate = learning_rate_at(epoch * samples.num_batches + index, num_steps=num_steps, recipe=recipe)
            for mine, optimizer in enumerate(optimizers):
                optimizer.zero_grad()
                joint_loss(
                    logits_BK[mine],
                    labels_B=batch.labels_B,
                    teacher_logits_BK=logits_BK[1 - mine].detach(),
                    distillation_weight=_MUTUAL_WEIGHT,
                    temperature=1.0,
                    known_K=known_K,
                ).backward()
                optimizer.step(rate)
    return copied_state(module)


def predictions_of(
    data: RoundsData, network: PeerNetwork, weights: Sequence[Weights]
) -> Sequence[Callable[[Tensor], Tensor]]:
    """Return functions that together predict images with several networks of one kind, in evaluation mode.

    Each function returns the logits ``GBK`` of G of the networks for ``BCHW`` images; all networks in one function
    predict side by side. A function is valid until the next one is called.
    """
    if data.is_stacked(network):
        return [
            Students(
                network.name, weights, image_shape_CHW=data.dataset.image_shape, num_classes=data.dataset.num_classes
            ).logits
        ]
    module = data.network(network)

    def predict(state: Weights, images_BCHW: Tensor) -> Tensor:
        copy_state(state, module)
        module.eval()
        logits_BK: Tensor = module(images_BCHW)
        return logits_BK.unsqueeze(0)

    return [partial(predict, state) for state in weights]


def copied_state(module: nn.Module) -> Weights:
    """Return a copy of the parameters and buffers of a network."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
