"""Training one peer on its own data, by cross entropy, before any distillation."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from peerkd.config.training import RecipeConfig
from peerkd.training.checkpoints import load_tensors, save_tensors
from peerkd.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from peerkd.training.samples import SampleSet


def pretrain(
    network: nn.Module,
    samples: SampleSet,
    *,
    recipe: RecipeConfig,
    checkpoint: Path,
) -> Iterator[int]:
    """Train ``network`` in place for ``recipe.epochs``, from the last finished epoch if ``checkpoint`` exists.

    An interrupted training that is resumed ends in the same weights as one that was not: batches and rates are
    functions of the epoch, so weights and momentum are all the state there is.

    Args:
        network: On its device; channels-last memory.
        samples: The peer's training set.
        recipe: Epochs, optimiser and schedule.
        checkpoint: File written after every epoch; the caller removes it.

    Yields:
        The number of epochs finished, after each.
    """
    optimizer = build_optimizer(network, recipe)
    num_steps = recipe.epochs * samples.num_batches
    first_epoch = _restore(checkpoint, network, optimizer) if checkpoint.exists() else 0
    network.train()
    for epoch in range(first_epoch, recipe.epochs):
        for step, batch in enumerate(samples.batches(epoch), start=epoch * samples.num_batches):
            set_learning_rate(optimizer, learning_rate_at(step, num_steps=num_steps, recipe=recipe))
            optimizer.zero_grad()
            F.cross_entropy(network(batch.images_BCHW), batch.labels_B).backward()
            optimizer.step()
        _save(checkpoint, network, optimizer, num_epochs=epoch + 1)
        yield epoch + 1


def _save(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer, *, num_epochs: int) -> None:
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimizer.state[parameter].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{name}"] = momentum
    save_tensors(checkpoint, tensors, {"num_epochs": str(num_epochs)})


def _restore(checkpoint: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    tensors, metadata = load_tensors(checkpoint)
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")}
    )
    for name, parameter in network.named_parameters():
        if f"momentum.{name}" in tensors:
            momentum = torch.empty_like(parameter).copy_(tensors[f"momentum.{name}"])
            optimizer.state[parameter]["momentum_buffer"] = momentum
    return int(metadata["num_epochs"])
