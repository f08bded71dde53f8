"""The training of peers that have the same network in a round. Small networks train side by side on the same batches.

Shape suffixes: S = public samples, B = batch, K = classes, G = networks, C = image channels, H W = image size.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from peerkd.config.given_peers import PeerNetwork
from peerkd.config.training import DistillConfig
from peerkd.losses.distillation import joint_loss
from peerkd.losses.pairs.term import HINTON
from peerkd.rounds.method import Imitation, Weights
from peerkd.training.checkpoints import copy_state
from peerkd.training.devices import autocast, seeded, widened
from peerkd.training.distill import TeacherLogits, distill
from peerkd.training.optimizers import Sgd, learning_rate_at
from peerkd.training.peers import known_classes
from peerkd.training.rounds.data import RoundsData
from peerkd.training.samples import Batches
from peerkd.training.stacked.students import Students

MUTUAL_WEIGHT: Final = 0.5
"""The weight of the divergence in mutual learning of two networks.

Zhang et al. 2018, arXiv:1706.00384, equation 4, add the cross entropy and the divergence with equal weights. Here the
loss is half of this sum, so that the losses of all methods have the same scale.
"""


def train_students(
    data: RoundsData,
    network: PeerNetwork,
    starts: Sequence[Weights],
    samples: Batches,
    *,
    targets: Sequence[TeacherLogits | None],
    imitations: Sequence[Imitation | None],
    recipe: DistillConfig,
    proximal_weight: float = 0.0,
    noise_seeds: Sequence[int],
) -> list[Weights]:
    """Train students that have the same network on the same batches, and return the weights of each student.

    Args:
        data: The data of the rounds.
        network: The network of all students.
        starts: The weights from which each student starts.
        samples: The batches.
        targets: For each student, the logits that it imitates, by epoch and batch; None for a training on labels alone.
        imitations: The loss with which each student imitates its target; None if it has no target. The distillation
            term must be the same for all students.
        recipe: Epochs, optimiser and schedule.
        proximal_weight: mu, the weight of the proximal term ``mu / 2 ||w - w_0||^2`` that is added to each student's
            loss. w are the student's parameters and w_0 their values at the start.
        noise_seeds: For each student, the seed of the random numbers that the network draws. The networks of peerkd
            draw none.
    """
    terms = {id(each.term): each.term for each in imitations if each}
    term = next(iter(terms.values()), HINTON)
    weights = [each.distillation_weight if each else 0.0 for each in imitations]
    temperatures = [each.temperature if each else None for each in imitations]
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
    data: RoundsData,
    networks: Sequence[PeerNetwork],
    starts: Sequence[Weights],
    samples: Batches,
    *,
    recipe: DistillConfig,
    distillation_weight: float = MUTUAL_WEIGHT,
    log_prior_K: Tensor | None = None,
) -> list[Weights]:
    """Train several networks together on the same batches, and return the weights of each.

    In each step, all networks predict a batch. Each network minimises ``w D + (1 - w) CE``, where p is its prediction,
    CE its cross entropy with the labels, and D the mean of ``KL(p_j || p)`` over the predictions p_j of the other
    networks, which count as constants (Zhang et al. 2018, arXiv:1706.00384, equations 3 to 6, and their extension to
    more networks). All networks step at the same time.

    Args:
        data: The data of the rounds.
        networks: The networks, at least two.
        starts: The weights from which each network starts.
        samples: The batches.
        recipe: Epochs, optimiser and schedule.
        distillation_weight: w, from 0 to 1.
        log_prior_K: What is added to the logits in CE, as in ``joint_loss``.
    """
    modules = [deepcopy(data.network(network)) for network in networks]
    for module, start in zip(modules, starts, strict=True):
        copy_state(start, module)
        module.train()
    known_classes_of = [known_classes(network, data.dataset, device=data.device) for network in networks]
    optimizers = [Sgd(module, recipe) for module in modules]
    num_steps = recipe.epochs * samples.num_batches
    for epoch in range(recipe.epochs):
        for index, batch in enumerate(samples.batches(epoch)):
            with autocast(samples.device, recipe.precision):
                logits_BK = [widened(module(batch.images_NCHW)) for module in modules]
            rate = learning_rate_at(epoch * samples.num_batches + index, num_steps=num_steps, recipe=recipe)
            for mine, optimizer in enumerate(optimizers):
                others = [each.detach() for place, each in enumerate(logits_BK) if place != mine]
                optimizer.zero_grad()
                joint_loss(
                    logits_BK[mine],
                    labels_B=batch.labels_B,
                    teacher_logits_BK=_logits_of_mean(others),
                    distillation_weight=distillation_weight,
                    temperature=1.0,
                    known_K=known_classes_of[mine],
                    log_prior_K=log_prior_K,
                ).backward()
                optimizer.step(rate)
    return [copied_state(module) for module in modules]


def _logits_of_mean(logits_BK: Sequence[Tensor]) -> Tensor:
    """Return logits of the mean of several predictions.

    The mean of ``KL(p_j || p)`` over j is ``KL(mean_j p_j || p)`` plus a number that does not depend on p, so that one
    divergence has the gradient of all together.
    """
    if len(logits_BK) == 1:
        return logits_BK[0]
    # The sum in place of the mean, because the softmax does not depend on the factor.
    return torch.stack([each.log_softmax(-1) for each in logits_BK]).logsumexp(0)


def predictions_of(
    data: RoundsData, network: PeerNetwork, weights: Sequence[Weights]
) -> Sequence[Callable[[Tensor], Tensor]]:
    """Return functions that compute the logits of several peers that have the same network, in evaluation mode.

    Each function computes the logits of G of these peers: it maps images of shape BCHW to logits of shape GBK. All
    functions together cover all peers, in the order of ``weights``, and can be called in any order.
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


@torch.no_grad()
def on_public_set(data: RoundsData, functions: Sequence[Callable[[Tensor], Tensor]], *, precision: str) -> list[Tensor]:
    """Return what functions compute for all public samples. The public set is read once, however many there are.

    Args:
        data: The data of the rounds.
        functions: Functions of images of shape BCHW, such as those of ``predictions_of``. Each returns a tensor whose
            second dimension is B.
        precision: The precision of the forward passes.

    Returns:
        For each function, its results side by side along the second dimension, which is S.
    """
    parts: list[list[Tensor]] = [[] for _ in functions]
    with autocast(data.device, precision):
        for images_BCHW in data.public_images():
            for of_function, function in zip(parts, functions, strict=True):
                of_function.append(function(images_BCHW))
    return [torch.cat(each, dim=1) for each in parts]


def copied_state(module: nn.Module) -> Weights:
    """Return a copy of the parameters and buffers of a network."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
