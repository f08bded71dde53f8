"""Losses of pair distillation for tests, and the parts of their formulas in plain Python.

Shape suffixes: B = samples, K = classes.
"""

import math

import torch
from torch import Tensor

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss, Parameter


def weighted_brier(
    student_logits_BK: Tensor,
    reference_logits_BK: Tensor,
    *,
    labels_B: Tensor,
    temperature: float | Tensor,
    trust: float,
) -> Tensor:
    q_BK = (student_logits_BK / temperature).softmax(-1)
    p_BK = (reference_logits_BK / temperature).softmax(-1)
    p_of_label_B = p_BK.gather(-1, labels_B[:, None]).squeeze(-1)
    return (1 + trust * p_of_label_B) * (p_BK - q_BK).square().sum(-1)


def random_logits(seed: int, *, num_samples: int = 6, num_classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(num_samples, num_classes, generator=generator, dtype=torch.float64)


def softmax(logits: list[float], temperature: float = 1.0) -> list[float]:
    total = sum(math.exp(logit / temperature) for logit in logits)
    return [math.exp(logit / temperature) / total for logit in logits]


def divergence(p: list[float], q: list[float]) -> float:
    """Return KL(p || q)."""
    return sum(p_k * math.log(p_k / q_k) for p_k, q_k in zip(p, q, strict=True))


WEIGHTED_BRIER = PairLoss(
    name="weighted_brier",
    title="weighted Brier score",
    per_sample=weighted_brier,
    meaning="D is the squared distance of the outputs, and larger where the teacher is right.",
    formula="(1 + trust * p_y) * sum_k (p_k - q_k)^2",
    tex=r"(1 + \mathrm{trust} \cdot p_y) \sum_k (p_k - q_k)^2",
    source="the tests",
    needs_labels=True,
    parameters=(Parameter("trust", default=2.0, meaning="Weight of a teacher that is right.", at_least=0, below=100),),
)
"""A loss that no engine has a fast path for. It needs labels and has a hyper-parameter."""

EVERY_LOSS = [*PAIR_LOSSES.values(), WEIGHTED_BRIER]
"""The registered losses, and the weighted Brier score."""
