"""The KL divergence of Hinton et al. 2015, the original loss of knowledge distillation.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


def kl(student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor") -> "Tensor":
    """Return ``KL(p || q) = sum_K p (log p - log q)`` for each sample, with shape (B,).

    p is the softmax of the reference logits divided by T, and q is the softmax of the student's logits divided by T.
    """
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    return (log_p_BK.exp() * (log_p_BK - log_q_BK)).sum(-1)


LOSS: Final = PairLoss(
    name="kl",
    title="KL divergence",
    per_sample=kl,
    meaning="D is the divergence of the teacher relative to the student. It is large if the student gives little "
    "probability to a class that the teacher considers likely.",
    formula="KL(p || q)",
    tex=r"\mathrm{KL}(p \Vert q) = \sum_k p_k \log \frac{p_k}{q_k}",
    source="Hinton et al. 2015, arXiv:1503.02531, section 2",
    # The limit of p log p is 0, so a class that the teacher does not know adds nothing but its share of q.
    allows_missing_classes=True,
)
