"""The squared distance of the logits, in which the label may count more than the other classes.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss, Parameter

if TYPE_CHECKING:
    from torch import Tensor


def example_distance(
    student_logits_BK: "Tensor",
    reference_logits_BK: "Tensor",
    *,
    temperature: "float | Tensor",
    labels_B: "Tensor",
    label_weight: float,
) -> "Tensor":
    """Return ``sum_K w (t / T - s / T)^2`` of each sample, ``B``. w is ``label_weight`` for the label and else 1."""
    is_label_BK = student_logits_BK.new_zeros(student_logits_BK.shape).scatter(-1, labels_B[:, None], 1.0)
    differences_BK = (reference_logits_BK - student_logits_BK) / temperature
    return ((1 + (label_weight - 1) * is_label_BK) * differences_BK.square()).sum(-1)


LOSS: Final = PairLoss(
    name="example_distance",
    title="squared distance of logits",
    per_sample=example_distance,
    meaning="D asks the student for the teacher's logits, and for that of the label in particular.",
    formula="sum_k w_k (t_k / T - s_k / T)^2, with w_y = label_weight and all other w_k = 1",
    tex=r"\sum_k w_k \left(\frac{t_k - s_k}{T}\right)^2",
    source="Ba and Caruana 2014, arXiv:1312.6184, section 2.3",
    needs_labels=True,
    parameters=(Parameter("label_weight", 2.0, "The weight of the label; other classes have the weight 1.", above=0),),
)
