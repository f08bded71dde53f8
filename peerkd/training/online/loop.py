"""The loop that trains a network by any method of online distillation: plain, PCL, or another one.

Shape suffixes: V = views, B = batch, N = V * B, C = image channels, H W = image size, K = classes.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import Method
from peerkd.config.training import RecipeConfig
from peerkd.models.branched import BranchedNetwork
from peerkd.training.devices import autocast
from peerkd.training.online.group import ALONE, ProcessGroup
from peerkd.training.online.objectives import distillation_weight, loss_parts, num_views
from peerkd.training.online.state import TrainingState
from peerkd.training.optimizers import learning_rate_at
from peerkd.training.samples import SampleSet

Evaluate = Callable[[BranchedNetwork, BranchedNetwork | None], dict[str, dict[str, float | None]]]
"""A function that measures a network, and its mean network if there is one.

It returns the value of each measured quantity, by split and by name of the quantity. A value is None if it is not
finite.
"""

Network = Callable[[Tensor, int], Any]


def train(
    state: TrainingState,
    samples: SampleSet,
    *,
    network: Network,
    method: Method,
    collaboration: CollaborationConfig,
    recipe: RecipeConfig,
    precision: str,
    checkpoint: Path,
    checkpoint_steps: int | None = None,
    evaluate: Evaluate | None = None,
    evaluate_every_epochs: int = 1,
    group: ProcessGroup = ALONE,
) -> Iterator[int]:
    """Train a network in place, and resume from ``checkpoint`` if it exists.

    A training that diverges ends after the epoch in which it has diverged, because no later step can repair it. Then
    ``state.is_finite`` is False. The module ``peerkd.training.finite`` defines what is finite.

    A training that is killed and resumed ends in the same weights as an uninterrupted one, because the checkpoint
    contains everything that is not a function of the step. No step waits for the device: losses stay on the device
    until the end of the epoch.

    Args:
        state: The state on its device, with the network in channels-last memory.
        samples: The training set.
        network: The module to call in a step: the state's network, or the module of ``ProcessGroup.distribute``.
        method: The method, which determines the loss.
        collaboration: The settings of the method.
        recipe: Epochs, optimiser and schedule.
        precision: ``float32``, or ``bfloat16`` for autocast. Weights, statistics and losses are float32 in both.
        checkpoint: The file that the leading process writes after every epoch. It needs to exist only on the machine of
            that process, and the caller removes it.
        checkpoint_steps: The number of steps after which the checkpoint is also written within an epoch. None means
            never.
        evaluate: The function that the leading process calls in evaluated epochs.
        evaluate_every_epochs: The number of epochs between evaluations. The last epoch is always evaluated.
        group: The processes that share the batches.

    Yields:
        The number of finished epochs, after each epoch. There are fewer than in the recipe if the training diverged.
    """
    _restore(state, checkpoint, group)
    num_batches = samples.num_batches
    num_steps = recipe.epochs * num_batches
    views = num_views(method, collaboration)
    while state.num_steps < num_steps and state.is_finite:
        epoch, first_batch = divmod(state.num_steps, num_batches)
        weight = distillation_weight(method, collaboration, epoch=epoch)
        state.network.train()
        for batch in samples.batches(epoch, num_views=views, first_batch=first_batch, part=group):
            rate = learning_rate_at(state.num_steps, num_steps=num_steps, recipe=recipe)
            state.optimizer.zero_grad()
            with autocast(batch.labels_B.device, precision):
                outputs = network(batch.images_NCHW, views).float()
                mean_outputs = state.mean.outputs(batch.images_NCHW, views).float() if state.mean else None
            parts = loss_parts(method, collaboration, outputs, batch.labels_B, mean_outputs=mean_outputs)
            loss = parts.total(weight)
            # With P processes, b samples in this part and B in the batch, DistributedDataParallel returns 1/P times the
            # sum of the processes' gradients. A factor of b P / B on each mean loss makes that the sum of b / B times
            # each part's gradient, which is the gradient of the mean over the whole batch.
            share = len(batch.labels_B) * group.num_processes / batch.num_samples
            (loss if share == 1 else share * loss).backward()
            state.optimizer.step(rate)
            if state.mean:
                state.mean.update()
            state.num_steps += 1
            losses = {"loss": loss, **parts.named()}
            state.add_up(losses.values(), num_samples=len(batch.labels_B))
            in_mid_epoch = state.num_steps % num_batches != 0
            if checkpoint_steps and state.num_steps % checkpoint_steps == 0 and in_mid_epoch:
                _settle(state, group)
                if _is_finite_everywhere(state, group):
                    _save(state, checkpoint, group)
        _settle(state, group)
        # Sums over samples, not means of batch means, because batches differ in size.
        means = (group.sum(state.sums) / len(samples)).tolist()
        in_training = {**dict(zip(losses, means, strict=True)), "ramp_weight": weight, "learning_rate": rate}
        # JSON has no number for a loss that is not finite.
        finite = {name: value if math.isfinite(value) else None for name, value in in_training.items()}
        measured: dict[str, Any] = {"epoch": epoch + 1, "train": finite}
        is_last = epoch + 1 == recipe.epochs
        if evaluate and group.is_leader and (is_last or (epoch + 1) % evaluate_every_epochs == 0):
            with autocast(batch.labels_B.device, precision):
                measured |= evaluate(state.network, state.mean.network if state.mean else None)
        state.end_epoch(measured)
        state.is_finite = _is_finite_everywhere(state, group)
        if state.is_finite:
            _save(state, checkpoint, group)
        yield epoch + 1


def _settle(state: TrainingState, group: ProcessGroup) -> None:
    """Average the running statistics of the network and of its mean network over all processes, in place."""
    group.average_statistics([state.network, *([state.mean.network] if state.mean else [])])


def _is_finite_everywhere(state: TrainingState, group: ProcessGroup) -> bool:
    """Return whether all numbers in the networks and in the momenta are finite in every process.

    The result is the same in all processes.
    """
    flag = torch.tensor(float(not state.is_finite_now()), device=next(state.network.parameters()).device)
    return not group.sum(flag).item()


def _restore(state: TrainingState, checkpoint: Path, group: ProcessGroup) -> None:
    if group.num_processes == 1:
        if checkpoint.exists():
            state.restore(checkpoint)
        return
    # The other processes may be on other machines.
    content = group.share(checkpoint.read_bytes() if group.is_leader and checkpoint.exists() else b"")
    if not content:
        return
    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        received = Path(folder) / "received.safetensors"
        received.write_bytes(content)
        state.restore(received, rank=group.rank)


def _save(state: TrainingState, checkpoint: Path, group: ProcessGroup) -> None:
    sums = group.gather(state.sums)
    if group.is_leader:
        state.save(checkpoint, sums_of_processes=sums)
    # No process may end, or be asked to resume from the file, before the file exists.
    group.wait()
