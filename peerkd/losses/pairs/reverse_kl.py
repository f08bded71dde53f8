"""The reverse KL divergence: the divergence of the student relative to the teacher.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


def reverse_kl(
    student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor"
) -> "Tensor":
    """Return ``KL(q || p) = sum_K q (log q - log p)`` for each sample, with shape (B,).

    p is the softmax of the reference logits divided by T, and q is the softmax of the student's logits divided by T.
    """
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    return (log_q_BK.exp() * (log_q_BK - log_p_BK)).sum(-1)


LOSS: Final = PairLoss(
    name="reverse_kl",
    title="reverse KL divergence",
    per_sample=reverse_kl,
    meaning="D is the divergence of the student relative to the teacher. It is large if the student gives "
    "probability to a class that the teacher considers unlikely.",
    formula="KL(q || p)",
    tex=r"\mathrm{KL}(q \Vert p) = \sum_k q_k \log \frac{q_k}{p_k}",
    source="Gu et al. 2024, arXiv:2306.08543, section 2.1",
)
