"""All that a training is at one moment, and its file: what is read back goes on as if nothing had been."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from peerkd.errors import ArtifactCorruptError
from peerkd.models.branched import BranchedNetwork
from peerkd.training.checkpoints import check_tensors, copy_state, load_tensors, save_tensors
from peerkd.training.finite import are_finite, losses_are_finite
from peerkd.training.online.mean import MeanNetwork
from peerkd.training.optimizers import Sgd


class TrainingState:
    """Networks, optimiser, step, and what was measured so far.

    Rate, weight of the distillation, order and views are functions of the step, so the step stands for all of them.
    """

    def __init__(self, network: BranchedNetwork, optimizer: Sgd, *, mean: MeanNetwork | None) -> None:
        self.network = network
        self.optimizer = optimizer
        self.mean = mean
        self.num_steps = 0
        """Optimiser steps done."""

        self.sums: Tensor = torch.zeros(0)
        """Of this epoch's losses over its samples so far, float64 on the device; empty before the first step."""

        self.history: list[dict[str, Any]] = []
        """What was measured in each finished epoch."""

        self.is_finite = True
        """Whether the network was finite after the last finished epoch; see ``peerkd.training.finite``."""

        self._seconds_before = 0.0
        self._opened = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the training has taken, attempts that were cut off included up to their last checkpoint."""
        return self._seconds_before + time.perf_counter() - self._opened

    def is_finite_now(self) -> bool:
        """Return whether networks and momenta are finite."""
        networks = [self.network, *([self.mean.network] if self.mean else [])]
        tensors = [tensor for network in networks for tensor in network.state_dict().values()]
        return are_finite([*tensors, *self.optimizer.momenta.values()])

    @property
    def ended_finite(self) -> bool:
        """Whether the training, which is over, ended finite, including the last epoch's losses and measurements."""
        last = self.history[-1]
        values = [value for name, quantities in last.items() if name != "epoch" for value in quantities.values()]
        return self.is_finite and losses_are_finite(values)

    def add_up(self, losses: Iterable[Tensor], *, num_samples: int) -> None:
        """Add the mean losses of a step over ``num_samples``; the device is not waited for."""
        values = torch.stack([loss.detach() for loss in losses]).double() * num_samples
        self.sums = self.sums + values if self.sums.numel() else values

    def end_epoch(self, measured: dict[str, Any]) -> None:
        """Keep what was measured, and start to add up anew."""
        self.history.append(measured)
        self.sums = torch.zeros(0)

    def save(self, path: Path, *, sums_of_processes: Tensor | None = None) -> None:
        """Write the file, sealed; it appears whole or not at all.

        Args:
            path: The file.
            sums_of_processes: ``sums`` of every process that shares the training, the first one's first.
        """
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.mean:
            tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.network.state_dict().items()}
        tensors |= {f"momentum.{name}": momentum for name, momentum in self.optimizer.momenta.items()}
        tensors["sums"] = self.sums[None] if sums_of_processes is None else sums_of_processes
        tensors["generator.cpu"] = torch.get_rng_state()
        device = next(self.network.parameters()).device
        if device.type == "cuda":
            tensors["generator.cuda"] = torch.cuda.get_rng_state(device)
        progress = {
            "num_steps": self.num_steps,
            "num_mean_updates": self.mean.num_updates if self.mean else 0,
            "seconds": self.seconds,
            "history": self.history,
            "momenta": sorted(self.optimizer.momenta),
        }
        save_tensors(path, tensors, {"progress": json.dumps(progress)}, is_sealed=True)

    def restore(self, path: Path, *, rank: int = 0) -> None:
        """Become what ``save`` wrote.

        Args:
            path: The file.
            rank: Which of the processes this is that share the training.

        Raises:
            ArtifactCorruptError: If the file is damaged or belongs to another training.
        """
        tensors, metadata = load_tensors(path)
        try:
            progress = json.loads(metadata["progress"])
            self._check(tensors, progress["momenta"], source=str(path))
        except (KeyError, ValueError, AttributeError) as error:
            raise ArtifactCorruptError(f"{path} must hold a training in progress, got another file.") from error
        copy_state(_under("network.", tensors), self.network)
        if self.mean:
            copy_state(_under("mean.", tensors), self.mean.network)
            self.mean.num_updates = progress["num_mean_updates"]
        self.optimizer.restore_momenta(_under("momentum.", tensors))
        device = next(self.network.parameters()).device
        self.sums = tensors["sums"][rank].to(device)
        torch.set_rng_state(tensors["generator.cpu"])
        if device.type == "cuda" and "generator.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["generator.cuda"], device)
        self.num_steps = progress["num_steps"]
        self._seconds_before = progress["seconds"]
        self.history = progress["history"]

    def _check(self, tensors: Mapping[str, Tensor], momenta: Iterable[str], *, source: str) -> None:
        """Refuse tensors that this training cannot go on from; sums of losses and generators are not checked."""
        parameters = dict(self.network.named_parameters())
        expected = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        if self.mean:
            expected |= {f"mean.{name}": tensor for name, tensor in self.mean.network.state_dict().items()}
        expected |= {f"momentum.{name}": parameters[name] for name in momenta}
        others = ("sums", "generator.cpu", "generator.cuda")
        kept = {name: tensor for name, tensor in tensors.items() if name not in others}
        check_tensors(kept, expected, source=source)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
