"""The predictions of the teacher and of the student's old self, weighted in each class by their training samples.

Shape suffix: K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.targets.target import PairTarget, Prediction

if TYPE_CHECKING:
    from torch import Tensor


def weigh(teacher: Prediction, student: Prediction) -> "tuple[Tensor, Tensor]":
    """Return the weights of the teacher and of the student's old self, both with shape (K,).

    The weight of one of them in class k is its share of their training samples of class k, ``n_i(k) / (n_t(k) +
    n_s(k))``. If neither has a sample of the class, both weights are 1/2.
    """
    totals_K = teacher.counts_K + student.counts_K
    shares = [(each.counts_K / totals_K.clamp(min=1)).masked_fill(totals_K == 0, 0.5) for each in (teacher, student)]
    return shares[0], shares[1]


TARGET: Final = PairTarget(
    name="class_counts",
    title="teacher and old self, weighted by class counts",
    weigh=weigh,
    meaning=(
        "For each class, the teacher and the old self are weighted by their numbers of training samples of this "
        "class. If only one of them has such samples, it alone decides."
    ),
    formula="sum_i n_i(k) / (n_t(k) + n_s(k)) * p_i(k), renormalised over k",
    tex=r"\frac{1}{Z} \sum_{i \in \{t, s\}} \frac{n_i(k)}{n_t(k) + n_s(k)} \, p_i(k)",
    source="this project, measured on the digits; we know of no paper that describes it",
)
