"""The prediction of the teacher or that of the student's old self, whichever is more confident of the sample.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(teacher: Prediction, student: Prediction) -> "tuple[Tensor, Tensor]":
    """Return the weights of the teacher and of the student's old self, both with shape (B, 1).

    For each sample, the more confident of the two has the weight 1 and the other one 0. Confidence is the largest
    probability of a prediction at T = 1. If both are equally confident, the student's old self has the weight 1.
    """
    confidence_B1, own_confidence_B1 = (
        each.logits_BK.softmax(-1).amax(-1, keepdim=True) for each in (teacher, student)
    )
    is_teachers_B1 = (confidence_B1 > own_confidence_B1).to(confidence_B1.dtype)
    return is_teachers_B1, 1 - is_teachers_B1


TARGET: Final = PairTarget(
    name="masks",
    title="teacher or old self, by confidence",
    weigh=weigh,
    meaning=(
        "Each sample is taught by whichever of the two is more confident of it at T = 1; labels are not used. The "
        "student keeps the predictions of which it was more confident than the teacher."
    ),
    formula="p_t where max softmax(t) > max softmax(s), else p_s",
    tex=r"\begin{cases} p_t & \max_k \mathrm{softmax}(t)_k > \max_k \mathrm{softmax}(s)_k \\ p_s & \text{otherwise}"
    r"\end{cases}",
    source="Roth et al. 2024, arXiv:2310.17653, equation 4, with unsupervised masks",
)
