"""The loss of a pair: the weighted sum of a distillation term D and the cross entropy CE.

Shape suffixes: B = batch, K = classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT
from peerkd.losses.pairs.term import HINTON, DistillationTerm


def joint_loss(
    student_logits_BK: Tensor,
    *,
    labels_B: Tensor | None,
    teacher_logits_BK: Tensor | None,
    distillation_weight: float,
    temperature: float | Tensor | None,
    term: DistillationTerm = HINTON,
    known_K: Tensor | None = None,
    num_unlabelled: int = 0,
    log_prior_K: Tensor | None = None,
) -> Tensor:
    """Return ``w * D + (1 - w) * CE``, a scalar: D is the distillation term, CE the cross entropy on labels.

    Both terms are means over all rows of the batch. If only some rows have labels, CE is the mean over the rows with
    labels, and D is the mean over the rows without labels.

    A term of weight 0 is not computed. If w = 0, neither teacher nor temperature is needed. If w = 1, labels are needed
    only if the loss in D depends on labels.

    Args:
        student_logits_BK: Unnormalised scores of the network that is trained.
        labels_B: Classes of the rows with labels, required unless ``distillation_weight`` is 1.
        teacher_logits_BK: Scores of the teacher on the rows of D, required unless ``distillation_weight`` is 0.
        distillation_weight: w, from 0 to 1.
        temperature: T of D, required unless ``distillation_weight`` is 0. A tensor of one number may get a gradient.
        term: The distillation term D.
        known_K: Whether the student knows each class. None: the student knows all classes. Otherwise, the teacher's
            distribution is restricted to the classes that the student knows, and renormalised. The cross entropy is
            then the mean over the samples of these classes, and 0 if the batch has no such sample.
        num_unlabelled: The number of rows without labels, at the end of a batch whose other rows have labels. 0: either
            all rows have labels, or none has.
        log_prior_K: Logarithms of numbers of samples by class, which are added to the logits in CE. CE is then the
            re-weighted softmax cross entropy, up to a constant: a class of which there are few samples is pushed down
            less, and a class without samples not at all (Legate et al. 2023, arXiv:2304.05260). None: CE is plain.

    Raises:
        ValueError: If the weight is outside 0 to 1, or an argument that a term requires is missing.
    """
    if not 0 <= distillation_weight <= 1:
        raise ValueError(f"distillation_weight must be from 0 to 1, got {distillation_weight}.")
    labelled_BK, taught_BK = rows_of_terms(student_logits_BK, num_unlabelled=num_unlabelled)
    terms: list[Tensor] = []
    if distillation_weight > 0:
        if teacher_logits_BK is None or temperature is None:
            raise ValueError(
                f"teacher_logits_BK and temperature are required when distillation_weight is {distillation_weight}."
            )
        if known_K is not None:
            # The softmax of these logits is the teacher's distribution, conditioned on the student's classes.
            teacher_logits_BK = teacher_logits_BK.masked_fill(~known_K, MISSING_CLASS_LOGIT)
        labels_of_taught_B = None if num_unlabelled else labels_B
        distilled = term.reduced(taught_BK, teacher_logits_BK, labels_B=labels_of_taught_B, temperature=temperature)
        terms.append(distillation_weight * distilled)
    if distillation_weight < 1:
        if labels_B is None:
            raise ValueError(f"labels_B is required when distillation_weight is {distillation_weight}.")
        if log_prior_K is not None:
            labelled_BK = labelled_BK + log_prior_K
        terms.append((1 - distillation_weight) * _cross_entropy(labelled_BK, labels_B, known_K))
    return torch.stack(terms).sum()


def _cross_entropy(logits_BK: Tensor, labels_B: Tensor, known_K: Tensor | None) -> Tensor:
    if known_K is None:
        return F.cross_entropy(logits_BK, labels_B)
    is_known_B = known_K[labels_B]
    losses_B = F.cross_entropy(logits_BK, labels_B, reduction="none").masked_fill(~is_known_B, 0)
    return losses_B.sum() / is_known_B.sum().clamp(min=1)


def rows_of_terms(logits_BK: Tensor, *, num_unlabelled: int) -> tuple[Tensor, Tensor]:
    """Return the rows of a batch that the cross entropy uses, and the rows that the distillation term D uses.

    If ``num_unlabelled`` is 0, both terms use all rows. Otherwise, D uses the last ``num_unlabelled`` rows, which have
    no labels, and the cross entropy uses all rows before them.
    """
    if not num_unlabelled:
        return logits_BK, logits_BK
    return logits_BK[:-num_unlabelled], logits_BK[-num_unlabelled:]
