"""The state of a training and its checkpoint. A restored training continues as if it had not been interrupted."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from peerkd.config.collaboration import CollaborationConfig
from peerkd.config.methods import METHODS, Method
from peerkd.config.training import RecipeConfig
from peerkd.errors import ArtifactCorruptError
from peerkd.models.branched import BranchedNetwork
from peerkd.training.checkpoints import check_tensors, copy_state, load_tensors, save_tensors
from peerkd.training.devices import generator_states, placed, restore_generators, sum_dtype
from peerkd.training.finite import are_finite, losses_are_finite
from peerkd.training.online.group import ALONE, ProcessGroup
from peerkd.training.online.mean import MeanNetwork
from peerkd.training.optimizers import Sgd

_GENERATOR: Final = "generator."


class TrainingState:
    """The state of a training: its networks, the optimiser, the number of steps, and the measurements so far.

    Learning rate, distillation weight, and the order and augmentation of samples are functions of the step, so they
    need not be stored.
    """

    def __init__(self, network: BranchedNetwork, optimizer: Sgd, *, mean: MeanNetwork | None) -> None:
        self.network = network
        self.optimizer = optimizer
        self.mean = mean
        self.num_steps = 0
        """The number of optimiser steps done."""

        self.sums: Tensor = torch.zeros(0)
        """The sum of each loss over the samples of this epoch so far, as a tensor on the device.

        It is empty before the first step.
        """

        self.history: list[dict[str, Any]] = []
        """The measurements of each finished epoch."""

        self.is_finite = True
        """Whether the training was finite after the last finished epoch, as ``peerkd.training.finite`` defines it."""

        self._seconds_before = 0.0
        self._opened = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The duration of the training, including interrupted attempts up to their last checkpoint."""
        return self._seconds_before + time.perf_counter() - self._opened

    def is_finite_now(self) -> bool:
        """Return whether all numbers in the networks and in the momenta of the optimiser are finite."""
        networks = [self.network, *([self.mean.network] if self.mean else [])]
        tensors = [tensor for network in networks for tensor in network.state_dict().values()]
        return are_finite([*tensors, *self.optimizer.momenta.values()])

    @property
    def ended_finite(self) -> bool:
        """Whether the finished training has not diverged: its state and the last epoch's measurements are finite."""
        last = self.history[-1]
        values = [value for name, quantities in last.items() if name != "epoch" for value in quantities.values()]
        return self.is_finite and losses_are_finite(values)

    def add_up(self, losses: Iterable[Tensor], *, num_samples: int) -> None:
        """Add the losses of a step to the sums of the epoch, without waiting for the device.

        Args:
            losses: The mean of each loss over the samples of the step.
            num_samples: The number of samples of the step.
        """
        means = torch.stack([loss.detach() for loss in losses])
        values = means.to(sum_dtype(means.device)) * num_samples
        self.sums = self.sums + values if self.sums.numel() else values

    def end_epoch(self, measured: dict[str, Any]) -> None:
        """Append the measurements of a finished epoch to ``history``, and reset the sums of losses."""
        self.history.append(measured)
        self.sums = torch.zeros(0)

    def save(self, path: Path, *, sums_of_processes: Tensor | None = None) -> None:
        """Write a checkpoint that contains its own digest. The file appears whole or not at all.

        Args:
            path: The file.
            sums_of_processes: ``sums`` of every process that shares the training, in the order of their ranks.
        """
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.mean:
            tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.network.state_dict().items()}
        tensors |= {f"momentum.{name}": momentum for name, momentum in self.optimizer.momenta.items()}
        tensors["sums"] = self.sums[None] if sums_of_processes is None else sums_of_processes
        device = next(self.network.parameters()).device
        tensors |= {f"{_GENERATOR}{kind}": state for kind, state in generator_states(device).items()}
        progress = {
            "num_steps": self.num_steps,
            "num_mean_updates": self.mean.num_updates if self.mean else 0,
            "seconds": self.seconds,
            "history": self.history,
            "momenta": sorted(self.optimizer.momenta),
        }
        save_tensors(path, tensors, {"progress": json.dumps(progress)}, is_sealed=True)

    def restore(self, path: Path, *, rank: int = 0) -> None:
        """Restore the state that ``save`` wrote.

        Args:
            path: The file.
            rank: The rank of this process among those that share the training.

        Raises:
            ArtifactCorruptError: If the file is damaged or belongs to another training.
        """
        tensors, metadata = load_tensors(path)
        try:
            progress = json.loads(metadata["progress"])
            self._check(tensors, progress["momenta"], source=str(path))
        except (KeyError, ValueError, AttributeError) as error:
            raise ArtifactCorruptError(f"{path} must contain a training in progress, got another file.") from error
        copy_state(_under("network.", tensors), self.network)
        if self.mean:
            copy_state(_under("mean.", tensors), self.mean.network)
            self.mean.num_updates = progress["num_mean_updates"]
        self.optimizer.restore_momenta(_under("momentum.", tensors))
        device = next(self.network.parameters()).device
        # The type is changed first, because not all devices have float64.
        self.sums = tensors["sums"][rank].to(sum_dtype(device)).to(device)
        restore_generators(_under(_GENERATOR, tensors), device)
        self.num_steps = progress["num_steps"]
        self._seconds_before = progress["seconds"]
        self.history = progress["history"]

    def _check(self, tensors: Mapping[str, Tensor], momenta: Iterable[str], *, source: str) -> None:
        """Raise an error if this training cannot continue from these tensors of a checkpoint.

        Sums of losses and states of random generators are not checked.
        """
        parameters = dict(self.network.named_parameters())
        expected = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.mean:
            expected |= {f"mean.{name}": tensor for name, tensor in self.mean.network.state_dict().items()}
        expected |= {f"momentum.{name}": parameters[name] for name in momenta}
        kept = {name: tensor for name, tensor in tensors.items() if name != "sums" and not name.startswith(_GENERATOR)}
        check_tensors(kept, expected, source=source)


def prepare(
    network: BranchedNetwork,
    *,
    method: Method,
    collaboration: CollaborationConfig,
    recipe: RecipeConfig,
    device: torch.device,
    group: ProcessGroup = ALONE,
    synchronise_batch_norm: bool = False,
) -> tuple[TrainingState, nn.Module]:
    """Return the initial state of a training, and the module to call in its steps.

    Args:
        network: The network, which is moved to the device and to the memory format that networks have there.
        method: The method, which determines whether there is a mean over time.
        collaboration: The settings of the method.
        recipe: The recipe of the optimiser.
        device: The device of the training.
        group: The processes that share the training.
        synchronise_batch_norm: Whether batch normalisation uses the statistics of the whole batch. If not, each process
            uses the statistics of its own part of the batch.

    Raises:
        ValueError: If batch normalisation cannot be synchronised on this device, or the network cannot be moved to it.
    """
    network = placed(network, device)
    stepped = group.distribute(network, device=device, synchronise_batch_norm=synchronise_batch_norm)
    mean = None
    if METHODS[method].has_mean_network:
        mean = MeanNetwork(network, ceiling=collaboration.mean_decay, batch_norm=collaboration.mean_batch_norm)
    return TrainingState(network, Sgd(network, recipe), mean=mean), stepped


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
