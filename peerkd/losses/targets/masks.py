"""The prediction of the teacher or that of the student's old self, whichever is more confident of the sample.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return the weight of each prediction, with shape (B, 1).

    For each sample, the most confident network has the weight 1 and every other one 0. Confidence is the largest
    probability of a prediction at T = 1. If several are equally confident, the last of them has the weight 1: in a
    pair, the student's old self.
    """
    confidences_B1 = [each.logits_BK.softmax(-1).amax(-1, keepdim=True) for each in predictions]
    largest_B1 = confidences_B1[0]
    chosen_B1 = largest_B1.new_zeros(largest_B1.shape)
    for index, confidence_B1 in enumerate(confidences_B1):
        chosen_B1 = chosen_B1.masked_fill(confidence_B1 >= largest_B1, index)
        largest_B1 = largest_B1.maximum(confidence_B1)
    return [(chosen_B1 == index).to(largest_B1.dtype) for index in range(len(predictions))]


TARGET: Final = PairTarget(
    name="masks",
    title="teacher or old self, by confidence",
    weigh=weigh,
    joins_any_number=True,
    meaning=(
        "Each sample is taught by whichever of the two is more confident of it at T = 1; labels are not used. The "
        "student keeps the predictions of which it was more confident than the teacher."
    ),
    formula="p_t where max softmax(t) > max softmax(s), else p_s",
    tex=r"\begin{cases} p_t & \max_k \mathrm{softmax}(t)_k > \max_k \mathrm{softmax}(s)_k \\ p_s & \text{otherwise}"
    r"\end{cases}",
    source="Roth et al. 2024, arXiv:2310.17653, equation 4, with unsupervised masks",
)
