"""The mean of the predictions of the teacher and of the student's old self."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return the weight of each prediction, which is the same for all: 1/2 in a pair."""
    return [each.counts_K.new_full((), 1 / len(predictions)) for each in predictions]


TARGET: Final = PairTarget(
    name="mean",
    title="the mean of teacher and old self",
    weigh=weigh,
    joins_any_number=True,
    meaning="The teacher and the student's old self have the same weight for every sample and class.",
    formula="(p_t + p_s) / 2",
    tex=r"\tfrac{1}{2} (p_t + p_s)",
    source="Lin et al. 2020, arXiv:2006.07242, section 3, for an ensemble of networks; they average logits, not "
    "probabilities",
)
