"""The mean of a network over time: the teachers of PCL's branches, and the network that PCL deploys.

Shape suffixes: N = views times samples, C = image channels, H W = image size.
"""

import copy
from typing import Literal

import torch
from torch import Tensor

from peerkd.models.branched import BranchedNetwork, BranchOutputs

MeanBatchNorm = Literal["batch", "averaged", "copied"]


def mean_decay(update: int, *, ceiling: float) -> float:
    """Return the decay ``min(1 - 1 / (k + 1), ceiling)`` of update k, counted from 0.

    Let w_1, w_2, ... be the weights after each step of the optimiser. Below the ceiling, update k is ``mean_k = k / (k
    + 1) mean_(k-1) + 1 / (k + 1) w_(k+1)``. So update 0 copies the network, and by induction ``mean_k = (w_1 + ... +
    w_(k+1)) / (k + 1)``: the mean of all networks so far with equal weights. From the ceiling on the mean is
    exponential (Tarvainen and Valpola 2017, arXiv:1703.01780, section 2; their code has this start).
    """
    return min(1 - 1 / (update + 1), ceiling)


class MeanNetwork:
    """The average of a network over time: each update is ``mean <- decay * mean + (1 - decay) * network``.

    The weights of trunk, branches and head are all averaged. ``batch_norm`` specifies what the batch normalisation of
    the mean network does:

    - ``batch``: It normalises by the current batch and keeps running statistics of its own for evaluation, as the only
      public code of PCL does. The mean network must then process every batch, even if no loss needs its outputs.
    - ``averaged``: It is in evaluation mode. Its running statistics are averages over time of the network's running
      statistics, as its weights are averages of the network's weights.
    - ``copied``: It is in evaluation mode, and its running statistics are copies of the network's running statistics.

    In each case the running statistics change during the training. If they never changed, they would still be the
    statistics of the network before its first step, and would not fit the averaged weights.
    """

    def __init__(self, network: BranchedNetwork, *, ceiling: float, batch_norm: MeanBatchNorm) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.num_updates = 0
        self._ceiling = ceiling
        self._batch_norm = batch_norm
        self._values: list[Tensor] = list(network.parameters())
        self._means: list[Tensor] = list(self.network.parameters())
        buffers = list(zip(network.buffers(), self.network.buffers(), strict=True))
        # Floating-point buffers are running means and variances. All other buffers are counters.
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
        """Move the mean towards the network's current weights. Call this after each step of the optimiser."""
        # lerp: mean + (1 - decay) (network - mean) = decay mean + (1 - decay) network.
        weight = 1 - mean_decay(self.num_updates, ceiling=self._ceiling)
        torch._foreach_lerp_(self._means, self._values, weight)
        for value, mean in self._copied:
            mean.copy_(value)
        self.num_updates += 1
