"""Heads that combine the branches of a network during training.

Shape suffixes: M = branches, A = branches that attend to each other, B = batch, C = channels, H W = size of a feature
map, F = features, K = classes.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ATTENTION_REDUCTION = 8
"""The ratio of features to attention dimensions in the released code of OKDDip; the paper does not state it."""


class JoinedHead(nn.Module):
    """A linear layer on the concatenated features of all branches: the ensemble teacher of PCL.

    Source: Wu and Gong 2021, arXiv:2006.04147, figure 2.
    """

    def __init__(self, *, num_branches: int, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(num_branches * num_features, num_classes)

    def forward(self, features_MBF: Tensor) -> Tensor:
        """Return ``logits_BK``."""
        return cast(Tensor, self.classifier(features_MBF.transpose(0, 1).flatten(1)))


class GatedHead(nn.Module):
    """The logits of the branches, weighted by a gate on the trunk (Lan et al. 2018, arXiv:1806.04606, section 3.1).

    The output is ``sum_j g_j * logits_j``, a sum over the branches ``j``. The gate ``g = softmax(ReLU(BN(W h + b)))``
    has a weight for each branch: ``h`` is the output of the trunk, averaged over the image; ``W`` and ``b`` are a
    linear layer, and ``BN`` is batch normalisation.
    """

    def __init__(self, *, num_branches: int, num_trunk_channels: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(num_trunk_channels, num_branches), nn.BatchNorm1d(num_branches), nn.ReLU())

    def forward(self, trunk_BC: Tensor, logits_MBK: Tensor) -> Tensor:
        """Return ``logits_BK``."""
        weights_BM = self.gate(trunk_BC).softmax(dim=1)
        return torch.einsum("bm,mbk->bk", weights_BM, logits_MBK)


class AttentionHead(nn.Module):
    """The weights with which branches learn from each other (Chen et al. 2020, arXiv:1912.00350, section 3.2).

    The weight with which branch ``a`` learns from branch ``b`` is ``softmax_b(q_a . k_b)``, a softmax over all ``b``.
    The query ``q_a`` is a linear projection of the features of ``a``, and the key ``k_b`` is another linear projection,
    of the features of ``b``.
    """

    def __init__(self, *, num_features: int) -> None:
        super().__init__()
        num_dimensions = max(num_features // _ATTENTION_REDUCTION, 1)
        self.query = nn.Linear(num_features, num_dimensions, bias=False)
        self.key = nn.Linear(num_features, num_dimensions, bias=False)

    def forward(self, features_ABF: Tensor) -> Tensor:
        """Return ``attention_BAA``. Row ``a`` contains the weights with which branch ``a`` learns; they sum to 1."""
        features_BAF = features_ABF.transpose(0, 1)
        return torch.bmm(self.query(features_BAF), self.key(features_BAF).transpose(1, 2)).softmax(dim=2)


class FusedHead(nn.Module):
    """Convolutions on the last feature maps of all branches (Kim et al. 2019, arXiv:1904.09058, section 3.2).

    The concatenated maps pass through a depthwise 3x3 and a 1x1 convolution, each with batch normalisation and ReLU.
    The result is averaged over the image and passes through a linear layer.
    """

    def __init__(self, *, num_branches: int, num_channels: int, num_classes: int) -> None:
        super().__init__()
        num_joined = num_branches * num_channels
        self.fusion = nn.Sequential(
            nn.Conv2d(num_joined, num_joined, kernel_size=3, padding=1, groups=num_joined, bias=False),
            nn.BatchNorm2d(num_joined),
            nn.ReLU(),
            nn.Conv2d(num_joined, num_channels, kernel_size=1, bias=False),
            nn.BatchNorm2d(num_channels),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(num_channels, num_classes)
        for module in self.fusion:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return ``logits_BK`` from the ``maps_BCHW`` of each branch."""
        fused_BCHW = self.fusion(torch.cat(list(maps), dim=1))
        return cast(Tensor, self.classifier(fused_BCHW.mean(dim=(2, 3))))


def average_logits(logits_MBK: Tensor) -> Tensor:
    """Return ``log(mean_M softmax(logits))``, the mean prediction of the branches, as ``logits_BK``."""
    # log(1/M sum_m exp(log p_m)) = logsumexp_m(log p_m) - log M, which does not underflow.
    return F.log_softmax(logits_MBK, dim=2).logsumexp(dim=0) - math.log(len(logits_MBK))
