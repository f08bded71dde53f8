"""The mean of a network over time, beside the network: PCL's mean teachers, and what PCL deploys.

Shape suffixes: N = views times samples, C = image channels, H W = image size.
"""

import copy
from typing import Literal

import torch
from torch import Tensor

from peerkd.models.branched import BranchedNetwork, BranchOutputs

MeanBatchNorm = Literal["batch", "averaged", "copied"]


def mean_decay(update: int, *, ceiling: float) -> float:
    """Return ``min(1 - 1 / (update + 1), ceiling)``, updates counted from 0: the first one copies the network.

    Until the ceiling is reached the mean is that of all networks so far, each with the same weight (Tarvainen and
    Valpola 2017, arXiv:1703.01780, whose code has this start).
    """
    return min(1 - 1 / (update + 1), ceiling)


class MeanNetwork:
    """A copy whose weights follow those of a network: ``mean <- decay * mean + (1 - decay) * network``.

    All of it is averaged: trunk, branches, and what joins them. What its batch normalisation does is a policy:

    - ``batch``: it normalises by the batch it sees and keeps running statistics of its own, for evaluation. As in the
      only public code of PCL. The network must therefore see every batch, also where no loss asks for its outputs.
    - ``averaged``: evaluation mode; its running statistics are averaged like the weights.
    - ``copied``: evaluation mode; its running statistics are those of the network.

    Weights that are averaged with statistics that are not would be a fourth, and a fault: the statistics would be
    those of the first network for ever.
    """

    def __init__(self, network: BranchedNetwork, *, ceiling: float, batch_norm: MeanBatchNorm) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.num_updates = 0
        self._ceiling = ceiling
        self._batch_norm = batch_norm
        self._values: list[Tensor] = list(network.parameters())
        self._means: list[Tensor] = list(self.network.parameters())
        buffers = list(zip(network.buffers(), self.network.buffers(), strict=True))
        # Running means and variances; beside them there are only counters.
        floating = [(value, mean) for value, mean in buffers if value.is_floating_point()]
        if batch_norm == "averaged":
            self._values += [value for value, _ in floating]
            self._means += [mean for _, mean in floating]
        self._copied = floating if batch_norm == "copied" else []

    @torch.no_grad()
    def outputs(self, images_NCHW: Tensor, num_views: int) -> BranchOutputs:
        """Run the mean network on a training batch."""
        in_training = self._batch_norm == "batch"
        if self.network.training != in_training:
            self.network.train(in_training)
        outputs: BranchOutputs = self.network(images_NCHW, num_views)
        return outputs

    @torch.no_grad()
    def update(self) -> None:
        """Follow the network by one optimiser step. All tensors in one call, however many there are."""
        weight = 1 - mean_decay(self.num_updates, ceiling=self._ceiling)
        torch._foreach_lerp_(self._means, self._values, weight)
        for value, mean in self._copied:
            mean.copy_(value)
        self.num_updates += 1
