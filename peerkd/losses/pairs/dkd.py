"""Decoupled knowledge distillation (DKD): the KL divergence in two parts, each with a weight of its own.

Shape suffixes: B = samples, K = classes.
"""

from typing import TYPE_CHECKING, Final

from peerkd.losses.pairs.loss import PairLoss, Parameter

if TYPE_CHECKING:
    from torch import Tensor

_NEVER: Final = float("-inf")
"""The logit of a class with the probability 0."""


def dkd(
    student_logits_BK: "Tensor",
    reference_logits_BK: "Tensor",
    *,
    temperature: "float | Tensor",
    labels_B: "Tensor",
    tckd_weight: float,
    nckd_weight: float,
) -> "Tensor":
    """Return ``tckd_weight TCKD + nckd_weight NCKD`` for each sample, with shape (B,).

    p is the softmax of the reference logits divided by T, and q is the softmax of the student's logits divided by T.
    p_y and q_y are the probabilities of the label y. TCKD is the KL divergence between the binary distributions
    (p_y, 1 - p_y) and (q_y, 1 - q_y) of the label against all other classes. For NCKD, the label is removed from p and
    q, and the probabilities of the other classes are renormalised to the sum 1. NCKD is the KL divergence between the
    two results. ``KL(p || q) = TCKD + (1 - p_y) NCKD`` (equation 5), so in the KL divergence, NCKD has almost no weight
    where the teacher is sure of the label.
    """
    is_label_BK = student_logits_BK.new_zeros(student_logits_BK.shape).scatter(-1, labels_B[:, None], 1.0).bool()
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    log_p_BK = (reference_logits_BK / temperature).log_softmax(-1)
    log_q_y_B, log_q_not_y_B = _label_and_others(log_q_BK, labels_B, is_label_BK)
    log_p_y_B, log_p_not_y_B = _label_and_others(log_p_BK, labels_B, is_label_BK)
    tckd_B = log_p_y_B.exp() * (log_p_y_B - log_q_y_B) + log_p_not_y_B.exp() * (log_p_not_y_B - log_q_not_y_B)
    log_other_q_BK, log_other_p_BK = (
        each_BK.masked_fill(is_label_BK, _NEVER).log_softmax(-1) for each_BK in (log_q_BK, log_p_BK)
    )
    # The label has the probability 0 on both sides. Its difference, -inf - (-inf), is NaN.
    differences_BK = (log_other_p_BK - log_other_q_BK).masked_fill(is_label_BK, 0.0)
    nckd_B = (log_other_p_BK.exp() * differences_BK).sum(-1)
    return tckd_weight * tckd_B + nckd_weight * nckd_B


def _label_and_others(log_probs_BK: "Tensor", labels_B: "Tensor", is_label_BK: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return two log-probabilities of shape (B,): one of the label, and one of all other classes together."""
    of_label_B = log_probs_BK.gather(-1, labels_B[:, None]).squeeze(-1)
    # A sum over the other classes, because 1 - p_y is rounded to 0 where p_y is nearly 1.
    return of_label_B, log_probs_BK.masked_fill(is_label_BK, _NEVER).logsumexp(-1)


def check(*, tckd_weight: float, nckd_weight: float) -> None:
    """Raise a ``ValueError`` if both weights are 0."""
    if tckd_weight == nckd_weight == 0:
        raise ValueError("tckd_weight and nckd_weight must not both be 0, got 0 and 0: D would be 0 for every student.")


LOSS: Final = PairLoss(
    name="dkd",
    title="decoupled knowledge distillation",
    per_sample=dkd,
    meaning="D compares two things separately: how probable the label is, and how probable the other classes are "
    "relative to each other. In the KL divergence, the weight of the second part falls as the teacher becomes more "
    "certain of the label; here it does not.",
    formula="tckd_weight KL((p_y, 1 - p_y) || (q_y, 1 - q_y)) + nckd_weight KL(p without y || q without y)",
    tex=r"w_{\mathrm{TCKD}} \, \mathrm{KL}\big((p_y, 1 - p_y) \Vert (q_y, 1 - q_y)\big) + w_{\mathrm{NCKD}} "
    r"\sum_{k \neq y} \hat p_k \log \frac{\hat p_k}{\hat q_k}, \qquad \hat p_k = \frac{p_k}{1 - p_y}, \quad "
    r"\hat q_k = \frac{q_k}{1 - q_y}",
    source="Zhao et al. 2022, arXiv:2203.08679, equation 7",
    needs_labels=True,
    parameters=(
        Parameter(
            "tckd_weight",
            1.0,
            "The weight of the part that compares the probability of the label (alpha in the paper).",
            at_least=0,
        ),
        Parameter(
            "nckd_weight",
            8.0,
            "The weight of the part that compares the probabilities of the other classes (beta in the paper).",
            at_least=0,
        ),
    ),
    check=check,
)
