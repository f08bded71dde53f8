"""A loss of pair distillation that no engine has a fast path for: it needs labels and has a hyper-parameter.

Shape suffixes: B = samples, K = classes.
"""

from torch import Tensor

from peerkd.losses.pairs import PAIR_LOSSES
from peerkd.losses.pairs.loss import PairLoss, Parameter


def weighted_brier(
    student_logits_BK: Tensor, target_logits_BK: Tensor, *, labels_B: Tensor, temperature: float | Tensor, trust: float
) -> Tensor:
    q_BK = (student_logits_BK / temperature).softmax(-1)
    p_BK = (target_logits_BK / temperature).softmax(-1)
    p_of_label_B = p_BK.gather(-1, labels_B[:, None]).squeeze(-1)
    return (1 + trust * p_of_label_B) * (p_BK - q_BK).square().sum(-1)


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

EVERY_LOSS = [*PAIR_LOSSES.values(), WEIGHTED_BRIER]
"""The registered losses, and the one above."""
