"""The prediction of whichever of the two is less confident, as a cautious target.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return 1 for the one with the smaller probability of its likeliest class, else 0: ``B1`` each."""
    confidence_B1, own_confidence_B1 = (each.logits_BK.softmax(-1).amax(-1, keepdim=True) for each in predictions)
    is_teachers_B1 = (confidence_B1 < own_confidence_B1).to(confidence_B1.dtype)
    return [is_teachers_B1, 1 - is_teachers_B1]


TARGET: Final = PairTarget(
    name="example_caution",
    title="teacher or old self, by doubt",
    weigh=weigh,
    meaning="Each sample is taught by whichever of the two is less confident of it.",
    formula="p_t where max softmax(t) < max softmax(s), else p_s",
    tex=r"p_t \text{ or } p_s",
    source="the recipe",
)
