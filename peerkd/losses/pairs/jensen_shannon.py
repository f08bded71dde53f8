"""The Jensen-Shannon divergence, which is bounded and, with equal weights, symmetric.

Shape suffixes: B = samples, K = classes.
"""

import math
from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss, Parameter

if TYPE_CHECKING:
    from torch import Tensor


def jensen_shannon(
    student_logits_BK: "Tensor",
    reference_logits_BK: "Tensor",
    *,
    temperature: "float | Tensor",
    teacher_share: float,
) -> "Tensor":
    """Return ``D = a KL(p || m) + (1 - a) KL(q || m)`` for each sample, with shape (B,), where ``m = a p + (1 - a) q``.

    p is the softmax of the reference logits divided by T, and q is the softmax of the student's logits divided by T. a
    is ``teacher_share``. As a tends to 0, D / a tends to ``KL(p || q)``. As a tends to 1, D / (1 - a) tends to
    ``KL(q || p)``.
    """
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    log_m_BK = (log_p_BK + math.log(teacher_share)).logaddexp(log_q_BK + math.log1p(-teacher_share))
    of_p_B = (log_p_BK.exp() * (log_p_BK - log_m_BK)).sum(-1)
    of_q_B = (log_q_BK.exp() * (log_q_BK - log_m_BK)).sum(-1)
    return teacher_share * of_p_B + (1 - teacher_share) * of_q_B


LOSS: Final = PairLoss(
    name="jensen_shannon",
    title="Jensen-Shannon divergence",
    per_sample=jensen_shannon,
    meaning="D compares both the teacher and the student with the mixture m of the two. It is bounded, so that a "
    "sample on which they contradict each other does not dominate the batch.",
    formula="a KL(p || m) + (1 - a) KL(q || m), with m = a p + (1 - a) q and a = teacher_share",
    tex=r"a \, \mathrm{KL}(p \Vert m) + (1 - a) \, \mathrm{KL}(q \Vert m), \qquad m = a p + (1 - a) q",
    source="Lin 1991, IEEE Transactions on Information Theory 37(1), section IV",
    parameters=(
        Parameter(
            "teacher_share",
            0.5,
            "The share a of the teacher in the mixture. 0.5: D is symmetric. Small values: D is nearly proportional"
            " to KL(p || q).",
            above=0,
            below=1,
        ),
    ),
)
