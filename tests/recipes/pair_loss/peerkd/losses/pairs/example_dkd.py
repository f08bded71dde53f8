"""Decoupled knowledge distillation: the divergence about the label and that among the other classes, weighed apart.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss, Parameter

if TYPE_CHECKING:
    from torch import Tensor

_NEVER: Final = float("-inf")


def example_dkd(
    student_logits_BK: "Tensor",
    reference_logits_BK: "Tensor",
    *,
    temperature: "float | Tensor",
    labels_B: "Tensor",
    label_weight: float,
    other_weight: float,
) -> "Tensor":
    """Return ``label_weight TCKD + other_weight NCKD`` of each sample, ``B``, as in Zhao et al. 2022, equation 7."""
    is_label_BK = student_logits_BK.new_zeros(student_logits_BK.shape).scatter(-1, labels_B.unsqueeze(-1), 1).bool()
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    # TCKD is the divergence between two distributions over two events: the label, and any other class.
    of_label = labels_B.unsqueeze(-1)
    label_divergence_B = (log_p_BK.exp() * (log_p_BK - log_q_BK)).gather(-1, of_label).squeeze(-1)
    log_p_others_B = log_p_BK.masked_fill(is_label_BK, _NEVER).logsumexp(-1)
    log_q_others_B = log_q_BK.masked_fill(is_label_BK, _NEVER).logsumexp(-1)
    others_divergence_B = log_p_others_B.exp() * (log_p_others_B - log_q_others_B)
    # NCKD is the divergence between the distributions over the other classes, given that it is one of them.
    log_p_given_BK = log_p_BK.masked_fill(is_label_BK, _NEVER).log_softmax(-1)
    log_q_given_BK = log_q_BK.masked_fill(is_label_BK, _NEVER).log_softmax(-1)
    differences_BK = (log_p_given_BK - log_q_given_BK).masked_fill(is_label_BK, 0)
    given_divergence_B = (log_p_given_BK.exp() * differences_BK).sum(-1)
    return label_weight * (label_divergence_B + others_divergence_B) + other_weight * given_divergence_B


LOSS: Final = PairLoss(
    name="example_dkd",
    title="decoupled knowledge distillation",
    per_sample=example_dkd,
    meaning="D weighs two divergences apart: whether it is the label or another class, and which other class it is.",
    formula="label_weight TCKD + other_weight NCKD",
    tex=r"\alpha\,\mathrm{KL}(b^p \Vert b^q) + \beta\,\mathrm{KL}(\hat p \Vert \hat q)",
    source="Zhao et al. 2022, arXiv:2203.08679, equation 7",
    needs_labels=True,
    parameters=(
        Parameter("label_weight", 1.0, "The weight of the divergence about the label (alpha).", at_least=0.0),
        Parameter("other_weight", 8.0, "The weight of the divergence among the other classes (beta).", at_least=0.0),
    ),
)
