"""Evaluation of branched networks: the accuracy of every predictor, and how often branches disagree.

Shape suffixes: M = branches, P = predictors, N = samples of a split, B = batch, C = image channels, H W = image size, K
= classes.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peerkd.data.augment import normalize
from peerkd.data.dataset import ImageDataset
from peerkd.models.branched import BranchedNetwork, BranchOutputs
from peerkd.models.heads import average_logits
from peerkd.models.memory_format import laid_out
from peerkd.results.outcome import NO_ANSWER
from peerkd.training.finite import predicted_classes
from peerkd.training.online.loop import Evaluate

_BATCH_SIZE: Final = 500

_Indices = npt.NDArray[np.int64]


def make_evaluate(dataset: ImageDataset, splits: Mapping[str, _Indices], *, device: torch.device) -> Evaluate:
    """Return a function that measures a network, and its mean network if it has one, on some splits.

    For each split the function returns the values of quantities by name. ``accuracy/<predictor>`` exists for every
    predictor. With several branches there is also ``disagreement``: the fraction of samples for which two branches
    predict different classes, averaged over all pairs of branches. Quantities of the mean network have ``mean_`` after
    the slash. A value is None if a logit on which it depends is not finite.
    """

    def evaluate(network: BranchedNetwork, mean: BranchedNetwork | None) -> dict[str, dict[str, float | None]]:
        networks = {"": network, **({"mean_": mean} if mean else {})}
        return {
            split: {
                name: value
                for prefix, each in networks.items()
                for name, value in _measure(each, prefix, dataset, indices_N, device=device).items()
            }
            for split, indices_N in splits.items()
        }

    return evaluate


def predictors(outputs: BranchOutputs) -> dict[str, Tensor]:
    """Return the logits of every predictor by name: each branch, the head, and the average of the branches."""
    logits = {f"branch_{branch}": logits_BK for branch, logits_BK in enumerate(outputs.logits_MBK, start=1)}
    if outputs.head_logits_BK is not None:
        logits["head"] = outputs.head_logits_BK
    if len(outputs.logits_MBK) > 1:
        logits["average"] = average_logits(outputs.logits_MBK)
    return logits


@torch.inference_mode()
def _measure(
    network: BranchedNetwork, prefix: str, dataset: ImageDataset, indices_N: _Indices, *, device: torch.device
) -> dict[str, float | None]:
    network.eval()
    num_branches = network.num_branches
    pairs = list(combinations(range(num_branches), 2))
    names: list[str] = []
    counts: list[Tensor] = []
    for images_BCHW, labels_B in _batches(dataset, indices_N, device=device):
        logits = predictors(network(images_BCHW).float())
        names = list(logits)
        answers_PB = torch.stack([predicted_classes(logits_BK) for logits_BK in logits.values()])
        right = list((answers_PB == labels_B).sum(dim=1))
        different = [(answers_PB[first] != answers_PB[second]).sum() for first, second in pairs]
        unanswered = list((answers_PB == NO_ANSWER).sum(dim=1))
        # Counts are exact, and stay on the device until the last batch: nothing waits for it in between.
        counts.append(torch.stack([*right, *different, *unanswered]))
    totals = torch.stack(counts).sum(dim=0)
    counts_in_all = totals.tolist()
    shares = [count / len(indices_N) for count in counts_in_all]
    is_answered = [count == 0 for count in counts_in_all[len(names) + len(pairs) :]]
    measured: dict[str, float | None] = {
        f"accuracy/{prefix}{name}": share if answered else None
        for name, share, answered in zip(names, shares, is_answered, strict=False)
    }
    if pairs:
        # The mean over pairs of branches of the fraction of samples for which they predict different classes.
        mean_share = sum(shares[len(names) : len(names) + len(pairs)]) / len(pairs)
        measured[f"{prefix}disagreement"] = mean_share if all(is_answered[:num_branches]) else None
    return measured


def _batches(dataset: ImageDataset, indices_N: _Indices, *, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    mean_C = torch.tensor(dataset.channel_mean, device=device)
    std_C = torch.tensor(dataset.channel_std, device=device)
    for start in range(0, len(indices_N), _BATCH_SIZE):
        indices_B = indices_N[start : start + _BATCH_SIZE]
        images_BCHW = torch.from_numpy(dataset.read_images(indices_B)).to(device)
        labels_B = torch.from_numpy(dataset.labels_N[indices_B]).to(device)
        normal_BCHW = normalize(images_BCHW, mean_C=mean_C, std_C=std_C)
        yield laid_out(normal_BCHW), labels_B
