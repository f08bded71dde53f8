"""Weighted transformed teacher matching (WTTM): TTM in which a sample counts more if its teacher is less sure.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss
from peerkd.losses.pairs.ttm import ttm

if TYPE_CHECKING:
    from torch import Tensor


def wttm(student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor") -> "Tensor":
    """Return ``U KL(p || softmax(student logits))`` for each sample, with shape (B,).

    p is the softmax of the reference logits divided by T. The student's logits are not divided by T.
    ``U = sum_K p1^(1 / T)`` is the power sum of ``p1 = softmax(reference logits)``. If T is above 1, U grows from 1,
    where the teacher is sure of one class, to ``K^(1 - 1 / T)``, where it considers all classes equally probable.
    """
    power_sum_B = (reference_logits_BK.log_softmax(-1) / temperature).exp().sum(-1)
    return power_sum_B * ttm(student_logits_BK, reference_logits_BK, temperature=temperature)


LOSS: Final = PairLoss(
    name="wttm",
    title="weighted transformed teacher matching",
    per_sample=wttm,
    meaning=(
        "D is the divergence of transformed teacher matching (ttm), multiplied by a weight for each sample: the power "
        "sum of the teacher's probabilities, which is larger if the teacher is less sure. The paper does not multiply "
        "D by T^2, so set conventions.scale_by_temperature_squared to false to reproduce its results."
    ),
    formula="(sum_k p1_k^(1 / T)) KL(p || q1), with p1 = softmax(teacher logits) and q1 = softmax(student logits)",
    tex=r"\Big(\sum_k \big(p_k^{(1)}\big)^{1 / T}\Big) \, \mathrm{KL}(p \Vert q^{(1)}), \qquad "
    r"p^{(1)} = \mathrm{softmax}(t), \quad q^{(1)} = \mathrm{softmax}(s)",
    source="Zheng and Yang 2024, arXiv:2402.11148, section 4",
    # The power sum of probabilities at T = 1 is 1.
    same_at_temperature_1="kl",
)
