"""The group of processes that share one training. Each process computes one part of every batch.

DistributedDataParallel averages the gradients, over NCCL on NVIDIA GPUs and over gloo on the CPU. Each part of a batch
is weighted by its size, so that the average is the gradient of the whole batch.

Only batch normalisation differs from training in a single process. Unless it is synchronised, each process normalises
by the statistics of its own part, and the running statistics are averaged over the processes before anything is
evaluated or saved. If it is synchronised, which needs NVIDIA GPUs, the statistics are those of the whole batch.
"""

import os
from collections.abc import Iterable
from typing import Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from peerkd.device_kinds import DEVICE_KINDS
from peerkd.models.branched import BranchedNetwork
from peerkd.training.devices import kind_of

_SHARED_AT_ONCE_BYTES: Final = 64 * 1024**2


class ProcessGroup(NamedTuple):
    """The processes that share one training, and the rank of this process among them."""

    rank: int = 0
    num_processes: int = 1

    @property
    def is_leader(self) -> bool:
        """Whether this process writes files and prints events."""
        return self.rank == 0

    def distribute(self, network: BranchedNetwork, *, device: torch.device, synchronise_batch_norm: bool) -> nn.Module:
        """Wrap a network for a training step, so that the gradients of all processes are averaged.

        Args:
            network: The network.
            device: The device of this process.
            synchronise_batch_norm: Whether batch normalisation uses the statistics of the whole batch.

        Returns:
            The module to call in place of the network. It is the network itself if there is only one process.

        Raises:
            ValueError: If batch normalisation cannot be synchronised on this device.
        """
        if self.num_processes == 1:
            return network
        if synchronise_batch_norm:
            if kind_of(device).process_group != "nccl":
                raise ValueError("training.synchronise_batch_norm must be false without a GPU, got true.")
            nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(
            network,
            device_ids=None if device.index is None else [device.index],
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
        # One message serves all layers.
        flat = torch.cat([buffer.flatten() for buffer in statistics])
        dist.all_reduce(flat)
        flat /= self.num_processes
        for buffer, values in zip(statistics, flat.split([buffer.numel() for buffer in statistics]), strict=True):
            buffer.copy_(values.view_as(buffer))

    def share(self, content: bytes) -> bytes:
        """Return the ``content`` of the leading process in every process. The ``content`` of the others is ignored."""
        if self.num_processes == 1:
            return content
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
        size = torch.tensor([len(content)], device=device)
        dist.broadcast(size, 0)
        num_bytes, received = int(size.item()), bytearray(content if self.is_leader else b"")
        for start in range(0, num_bytes, _SHARED_AT_ONCE_BYTES):
            stop = min(start + _SHARED_AT_ONCE_BYTES, num_bytes)
            if self.is_leader:
                piece = torch.frombuffer(received, dtype=torch.uint8, offset=start, count=stop - start).to(device)
            else:
                piece = torch.empty(stop - start, dtype=torch.uint8, device=device)
            dist.broadcast(piece, 0)
            if not self.is_leader:
                received += piece.cpu().numpy().tobytes()
        return bytes(received)

    def gather(self, values: Tensor) -> Tensor:
        """Return the tensors of all processes in the order of their ranks: shape (processes, ...)."""
        if self.num_processes == 1 or values.numel() == 0:
            return values.expand(self.num_processes, *values.shape)
        gathered = [torch.empty_like(values) for _ in range(self.num_processes)]
        dist.all_gather(gathered, values.contiguous())
        return torch.stack(gathered)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.num_processes > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait until every process has called this function."""
        if self.num_processes > 1:
            dist.barrier()


ALONE = ProcessGroup()


def join_group(device: str) -> tuple[ProcessGroup, torch.device]:
    """Join the processes that torchrun started, and return the group and the device of this process."""
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    backend = DEVICE_KINDS[device].process_group
    assert backend, "the stage refuses several processes on a device that has no process group"
    if backend == "nccl":
        own = torch.device(device, local_rank)
        torch.cuda.set_device(own)
        dist.init_process_group(backend, device_id=own)
    else:
        own = torch.device(device)
        dist.init_process_group(backend)
    return ProcessGroup(rank, dist.get_world_size()), own


def leave_group() -> None:
    """Leave the group, so that the other processes can end."""
    dist.destroy_process_group()
