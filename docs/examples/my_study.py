"""A loss and a partitioner for peerkd."""

from typing import TYPE_CHECKING

import numpy as np

from peerkd import PairLoss, Parameter

if TYPE_CHECKING:
    from torch import Tensor


def squared_distance(
    student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor", power: float
) -> "Tensor":
    """Return the distance of the softened outputs, ``(sum_k (p_k - q_k)^2)^power``, with shape (B,)."""
    q_BK = (student_logits_BK / temperature).softmax(-1)
    p_BK = (reference_logits_BK / temperature).softmax(-1)
    return (p_BK - q_BK).square().sum(-1) ** power


SQUARED_DISTANCE = PairLoss(
    name="squared_distance",
    title="squared distance",
    per_sample=squared_distance,
    meaning="D is the squared distance of the outputs of teacher and student.",
    formula="(sum_k (p_k - q_k)^2)^power",
    tex=r"\Big(\sum_k (p_k - q_k)^2\Big)^{\mathrm{power}}",
    source="this example",
    parameters=(Parameter("power", default=1.0, meaning="The power of the distance.", at_least=1, at_most=4),),
)


def by_halves(
    labels: np.ndarray, *, sizes: np.ndarray, rng: np.random.Generator, num_classes_first: int
) -> list[np.ndarray]:
    """Give the first classes to the first half of the peers, and the other classes to the second half."""
    is_first = labels < num_classes_first
    parts = []
    for peers, is_theirs in zip(np.array_split(np.arange(len(sizes)), 2), (is_first, ~is_first), strict=True):
        shuffled = rng.permutation(np.flatnonzero(is_theirs))
        parts += np.array_split(shuffled, len(peers))
    return parts
