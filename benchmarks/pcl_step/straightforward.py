"""A straightforward implementation of PCL, written as published code is, with which a step of peerkd is compared.

It augments samples one at a time with PIL, runs the trunk once for each view, computes one divergence for each pair of
branches, updates the mean network tensor by tensor, and reads the losses from the device in every step. It uses float32
and the default memory layout of torch. ``benchmarks.pcl_step.equivalence`` checks that the loss is that of peerkd.

Shape suffixes: N = samples, B = batch, C = image channels, H W = image size, F = features, K = classes.
"""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import transforms

from peerkd.data.dataset import ImageDataset
from peerkd.models.branched import BranchedNetwork
from peerkd.models.heads import JoinedHead


class AugmentedSamples(Dataset[tuple[list[Tensor], int]]):
    """A data set in which each sample consists of views, which are augmented independently, and a label."""

    def __init__(self, dataset: ImageDataset, *, num_views: int, crop_padding_pixels: int) -> None:
        self._images_NHWC = dataset.read_images(np.arange(dataset.num_train)).transpose(0, 2, 3, 1)
        self._labels_N = dataset.labels_N
        self._num_views = num_views
        self._augment = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(dataset.image_shape[1:], padding=crop_padding_pixels),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(dataset.channel_mean, dataset.channel_std),
            ]
        )

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._images_NHWC)

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        """Return the views of one sample, and its label."""
        image_HWC = self._images_NHWC[index]
        return [self._augment(image_HWC) for _ in range(self._num_views)], int(self._labels_N[index])


class LoopedOutputs(NamedTuple):
    """The outputs of ``LoopedNetwork``."""

    logits: list[Tensor]
    """``logits_BK`` of each branch."""

    ensemble_logits_BK: Tensor


class LoopedNetwork(nn.Module):
    """The same layers as a ``BranchedNetwork`` with a joined head, run branch by branch."""

    def __init__(self, network: BranchedNetwork) -> None:
        """Copy the layers."""
        super().__init__()
        copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
        assert isinstance(copied.head, JoinedHead)
        self.trunk = copied.trunk
        self.branches = copied.branches
        self.ensemble = copied.head.classifier

    def forward(self, views: list[Tensor]) -> LoopedOutputs:
        """Run each branch on its view, ``images_BCHW``."""
        features, logits = [], []
        for images_BCHW, branch in zip(views, self.branches, strict=True):
            assert isinstance(branch, nn.Sequential)
            *blocks, classifier = branch
            values = self.trunk(images_BCHW)
            for block in blocks:
                values = block(values)
            features.append(values)
            logits.append(classifier(values))
        return LoopedOutputs(logits, self.ensemble(torch.cat(features, dim=1)))


def looped_losses(
    outputs: LoopedOutputs, mean_outputs: LoopedOutputs, labels_B: Tensor, *, temperature: float
) -> dict[str, Tensor]:
    """Return the parts of the loss of ``peerkd.losses.online.pcl``, without the weight of distillation."""
    num_branches = len(outputs.logits)
    parts = {
        "branches": torch.zeros((), device=labels_B.device),
        "ensemble": F.cross_entropy(outputs.ensemble_logits_BK, labels_B),
        "from_ensemble": torch.zeros((), device=labels_B.device),
        "from_means": torch.zeros((), device=labels_B.device),
    }
    for student, logits_BK in enumerate(outputs.logits):
        parts["branches"] = parts["branches"] + F.cross_entropy(logits_BK, labels_B)
        taught = _divergence(logits_BK, outputs.ensemble_logits_BK.detach(), temperature)
        parts["from_ensemble"] = parts["from_ensemble"] + taught
        for teacher, mean_logits_BK in enumerate(mean_outputs.logits):
            if teacher != student:
                taught = _divergence(logits_BK, mean_logits_BK, temperature) / (num_branches - 1)
                parts["from_means"] = parts["from_means"] + taught
    return parts


def weigh(parts: dict[str, Tensor], *, distillation_weight: float) -> Tensor:
    """Return the sum of the parts of the loss. The parts for distillation are multiplied by the weight."""
    distilled = parts["from_ensemble"] + parts["from_means"]
    return parts["branches"] + parts["ensemble"] + distillation_weight * distilled


class LoopedTraining:
    """A network, its mean over time and the optimiser."""

    def __init__(
        self, network: BranchedNetwork, *, device: torch.device, temperature: float, mean_decay: float, **sgd: Any
    ) -> None:
        """Copy the network; ``sgd`` is for the optimiser."""
        self._network = LoopedNetwork(network).to(device)
        self._mean = copy.deepcopy(self._network)
        self._optimizer = torch.optim.SGD(self._network.parameters(), **sgd)
        self._temperature = temperature
        self._mean_decay = mean_decay
        self._num_steps = 0

    def step(self, views: list[Tensor], labels_B: Tensor, *, distillation_weight: float) -> dict[str, float]:
        """Train on one batch and return the parts of its loss."""
        self._network.train()
        # The mean network normalises by the statistics of the batch, like ``mean_batch_norm: batch`` of peerkd.
        self._mean.train()
        outputs = self._network(views)
        with torch.no_grad():
            mean_outputs = self._mean(views)
        parts = looped_losses(outputs, mean_outputs, labels_B, temperature=self._temperature)
        loss = weigh(parts, distillation_weight=distillation_weight)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        decay = min(1 - 1 / (self._num_steps + 1), self._mean_decay)
        with torch.no_grad():
            for mean, value in zip(self._mean.parameters(), self._network.parameters(), strict=True):
                mean.mul_(decay).add_(value, alpha=1 - decay)
        self._num_steps += 1
        return {"loss": loss.item(), **{name: part.item() for name, part in parts.items()}}


def _divergence(logits_BK: Tensor, teacher_logits_BK: Tensor, temperature: float) -> Tensor:
    log_probs_BK = F.log_softmax(logits_BK / temperature, dim=1)
    teacher_probs_BK = F.softmax(teacher_logits_BK / temperature, dim=1)
    return F.kl_div(log_probs_BK, teacher_probs_BK, reduction="batchmean") * temperature**2
