"""The KL divergence between standardised logits, which compares their shape and not their magnitude.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.kl import kl
from peerkd.losses.pairs.loss import PairLoss

if TYPE_CHECKING:
    from torch import Tensor

_MIN_STANDARD_DEVIATION: Final = 1e-3
"""The smallest number by which the logits of a sample are divided. It replaces a smaller standard deviation. Without
this bound, the gradient would be infinite if all logits of a sample were equal."""


def standardised_kl(
    student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor"
) -> "Tensor":
    """Return ``KL(softmax(z(reference logits) / T) || softmax(z(student logits) / T))`` for each sample, shape (B,).

    ``z(x) = (x - mean_K x) / sd_K x``, where sd_K is the standard deviation over the classes. It is the square root of
    the sum of squared deviations divided by K. The published code of the authors divides by K - 1 instead, which has
    the same effect as multiplying T by ``sqrt(K / (K - 1))``.
    """
    return kl(_standardised(student_logits_BK), _standardised(reference_logits_BK), temperature=temperature)


def _standardised(logits_BK: "Tensor") -> "Tensor":
    variance_B1 = logits_BK.var(-1, correction=0, keepdim=True)
    # The square root comes after the bound, because its gradient at 0 is infinite.
    deviation_B1 = variance_B1.clamp(min=_MIN_STANDARD_DEVIATION**2).sqrt()
    return (logits_BK - logits_BK.mean(-1, keepdim=True)) / deviation_B1


LOSS: Final = PairLoss(
    name="standardised_kl",
    title="KL divergence of standardised logits",
    per_sample=standardised_kl,
    meaning=(
        "D is the divergence after the logits of each sample are standardised to mean 0 and standard deviation 1. The"
        " student thus learns the order and the relative distances of the teacher's logits, but not their scale."
    ),
    formula="KL(softmax(z(teacher logits) / T) || softmax(z(student logits) / T)), with z(x) = (x - mean x) / sd x",
    tex=r"\mathrm{KL}\big(\mathrm{softmax}(z(t) / T) \Vert \mathrm{softmax}(z(s) / T)\big), \qquad "
    r"z(x) = \frac{x - \bar x}{\sqrt{\frac{1}{K} \sum_k (x_k - \bar x)^2}}",
    source="Sun et al. 2024, arXiv:2403.01427, algorithm 1",
)
