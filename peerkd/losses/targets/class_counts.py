"""The predictions of the teacher and of the student's old self, weighted by class counts.

The weight of a network in a class is its share of the training samples of this class that both networks have seen.

Shape suffix: K = classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(predictions: Sequence[Prediction]) -> "list[Tensor]":
    """Return the weight of each prediction, with shape (K,).

    The weight of network i in class k is ``n_i(k) / sum_j n_j(k)``, where n_i(k) is the number of its training samples
    of class k. If no network was trained on a sample of the class, all weights are equal.
    """
    totals_K = sum((each.counts_K for each in predictions[1:]), predictions[0].counts_K)
    equal = 1 / len(predictions)
    return [(each.counts_K / totals_K.clamp(min=1)).masked_fill(totals_K == 0, equal) for each in predictions]


TARGET: Final = PairTarget(
    name="class_counts",
    title="teacher and old self, weighted by class counts",
    weigh=weigh,
    joins_any_number=True,
    meaning=(
        "For each class, the teacher and the old self are weighted by their numbers of training samples of this "
        "class. If only one of them has such samples, it alone decides."
    ),
    formula="sum_i n_i(k) / (n_t(k) + n_s(k)) * p_i(k), renormalised over k",
    tex=r"\frac{1}{Z} \sum_{i \in \{t, s\}} \frac{n_i(k)}{n_t(k) + n_s(k)} \, p_i(k)",
    source="this project, measured on the digits; we know of no paper that describes it",
)
