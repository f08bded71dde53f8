"""The loop that trains a network by any method: plain, PCL, or a rival.

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
from peerkd.training.online.group import ALONE, Group
from peerkd.training.online.objectives import distillation_weight, loss_parts, num_views
from peerkd.training.online.state import TrainingState
from peerkd.training.optimizers import learning_rate_at
from peerkd.training.precision import autocast
from peerkd.training.samples import SampleSet

Evaluate = Callable[[BranchedNetwork, BranchedNetwork | None], dict[str, dict[str, float | None]]]
"""Measures a network, and its mean over time if it has one: values by split and quantity, None if not finite."""

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
    group: Group = ALONE,
) -> Iterator[int]:
    """Train a network in place, from where ``checkpoint`` left off if it exists.

    A training that diverges ends with the epoch in which it does, since no later step can repair it. Then
    ``state.is_finite`` is false; see ``peerkd.training.finite``.

    A training that was killed, in mid-epoch or between, ends in the same weights as one that was not: the checkpoint
    holds all that is not a function of the step. No step waits for the device; what is measured stays there until the
    epoch's end.

    Args:
        state: On its device; channels-last memory.
        samples: The training set.
        network: What to call in a step: the state's network, or what distributes it.
        method: Says which loss.
        collaboration: Of the method.
        recipe: Epochs, optimiser and schedule.
        precision: ``float32``, or ``bfloat16`` for autocast; weights, statistics and losses are float32 in both.
        checkpoint: File written after every epoch by the leading process, which alone must have it; the caller
            removes it.
        checkpoint_steps: Write it also after every so many steps.
        evaluate: Called by the leading process in evaluated epochs.
        evaluate_every_epochs: The last epoch is evaluated in any case.
        group: The processes that share the batches.

    Yields:
        The number of epochs finished, after each; fewer than the recipe's if the training diverged.
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
            # Processes average their gradients: each loss weighs as its part of the batch does.
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
        means = (group.sum(state.sums) / len(samples)).tolist()
        in_training = {**dict(zip(losses, means, strict=True)), "ramp_weight": weight, "learning_rate": rate}
        # JSON has no number for a loss that is not finite.
        finite = {name: value if math.isfinite(value) else None for name, value in in_training.items()}
        measured: dict[str, Any] = {"epoch": epoch + 1, "train": finite}
        is_last = epoch + 1 == recipe.epochs
        if evaluate and group.leads and (is_last or (epoch + 1) % evaluate_every_epochs == 0):
            with autocast(batch.labels_B.device, precision):
                measured |= evaluate(state.network, state.mean.network if state.mean else None)
        state.end_epoch(measured)
        state.is_finite = _is_finite_everywhere(state, group)
        if state.is_finite:
            _save(state, checkpoint, group)
        yield epoch + 1


def _settle(state: TrainingState, group: Group) -> None:
    """Make the running statistics of all processes the same."""
    group.average_statistics([state.network, *([state.mean.network] if state.mean else [])])


def _is_finite_everywhere(state: TrainingState, group: Group) -> bool:
    """Return whether networks and momenta are finite in every process; all processes get the same answer."""
    flag = torch.tensor(float(not state.is_finite_now()), device=next(state.network.parameters()).device)
    return not group.sum(flag).item()


def _restore(state: TrainingState, checkpoint: Path, group: Group) -> None:
    if group.num_processes == 1:
        if checkpoint.exists():
            state.restore(checkpoint)
        return
    # The others may be on other machines.
    content = group.share(checkpoint.read_bytes() if group.leads and checkpoint.exists() else b"")
    if not content:
        return
    with tempfile.TemporaryDirectory(prefix="peerkd-") as folder:
        received = Path(folder) / "received.safetensors"
        received.write_bytes(content)
        state.restore(received, rank=group.rank)


def _save(state: TrainingState, checkpoint: Path, group: Group) -> None:
    sums = group.gather(state.sums)
    if group.leads:
        state.save(checkpoint, sums_of_processes=sums)
    # Nobody may end, or be asked to go on from the file, before it is there.
    group.wait()
