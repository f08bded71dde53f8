"""The processes that share one training, each with a part of every batch.

Gradients are averaged by DistributedDataParallel: over NCCL where there are GPUs, over gloo elsewhere. A part of a
batch that is larger than another weighs more, so that the gradient is that of the whole batch.

Batch normalisation is the one thing that differs from a single process. Unless it is synchronised, each process
normalises by the statistics of its own part; the running statistics are averaged over the processes before anything
is evaluated or saved. Synchronised (GPUs only), the statistics are those of the whole batch.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from peerkd.models.branched import BranchedNetwork


class Group(NamedTuple):
    """This process and how many there are."""

    rank: int = 0
    num_processes: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def distribute(self, network: BranchedNetwork, *, device: torch.device, synchronise_batch_norm: bool) -> nn.Module:
        """Return what to call in place of the network in a training step.

        Raises:
            ValueError: If batch normalisation cannot be synchronised on this device.
        """
        if self.num_processes == 1:
            return network
        if synchronise_batch_norm:
            if device.type != "cuda":
                raise ValueError("training.synchronise_batch_norm must be false where there is no GPU, got true.")
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(
            network,
            device_ids=[device.index] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )

    def average_statistics(self, networks: Iterable[nn.Module]) -> None:
        """Average the running statistics of the networks over the processes, in place."""
        if self.num_processes == 1:
            return
        statistics = [buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point()]
        if not statistics:
            return
        # One message, however many layers there are.
        flat = torch.cat([buffer.flatten() for buffer in statistics])
        dist.all_reduce(flat)
        flat /= self.num_processes
        for buffer, values in zip(statistics, flat.split([buffer.numel() for buffer in statistics]), strict=True):
            buffer.copy_(values.view_as(buffer))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.num_processes > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.num_processes > 1:
            dist.barrier()


ALONE = Group()


def join_group(device: str) -> tuple[Group, torch.device]:
    """Join the processes that torchrun started, and return this process's place and device."""
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if device == "cuda":
        own = torch.device("cuda", local_rank)
        torch.cuda.set_device(own)
        dist.init_process_group("nccl", device_id=own)
    else:
        own = torch.device("cpu")
        dist.init_process_group("gloo")
    return Group(rank, dist.get_world_size()), own


def leave_group() -> None:
    """Let the other processes go."""
    dist.destroy_process_group()
