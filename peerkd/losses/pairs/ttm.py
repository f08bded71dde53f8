"""Transformed teacher matching (TTM): the temperature softens the teacher only.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


def ttm(student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor") -> "Tensor":
    """Return ``KL(p || softmax(student logits))`` for each sample, with shape (B,).

    p is the softmax of the reference logits divided by T. The student's logits are not divided by T.
    """
    log_q_BK = student_logits_BK.log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    return (log_p_BK.exp() * (log_p_BK - log_q_BK)).sum(-1)


LOSS: Final = PairLoss(
    name="ttm",
    title="transformed teacher matching",
    per_sample=ttm,
    meaning="D is the divergence of the softened teacher relative to the student without temperature. With T above 1, "
    "the student thus learns to be less sure than the teacher. The paper does not multiply D by T^2, so set "
    "conventions.scale_by_temperature_squared to false to reproduce its results.",
    formula="KL(p || q1), with q1 = softmax(student logits)",
    tex=r"\mathrm{KL}(p \Vert q^{(1)}) = \sum_k p_k \log \frac{p_k}{q_k^{(1)}}, \qquad q^{(1)} = \mathrm{softmax}(s)",
    source="Zheng and Yang 2024, arXiv:2402.11148, section 3",
    same_at_temperature_1="kl",
)
