"""IDKD (Ravikumar et al. 2023): learn from own labels, and from soft labels of public samples of which a peer is sure.

The soft labels of a public sample are the mean of the predictions that are confident of this sample. Other predictions
are taken for predictions of samples that are unlike the peer's own.

Shape suffixes: B = samples, S = public samples, K = classes.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from peerkd.losses.pairs.loss import MISSING_CLASS_LOGIT, PairLoss
from peerkd.losses.pairs.term import DistillationTerm
from peerkd.rounds.joining import for_each_neighbourhood
from peerkd.rounds.method import PeerWeights, Round, RoundMethod, Teaching

if TYPE_CHECKING:
    from torch import Tensor


def cross_entropy_of_soft_labels(
    student_logits_BK: "Tensor", reference_logits_BK: "Tensor", *, temperature: "float | Tensor"
) -> "Tensor":
    """Return ``-sum_K exp(t) log q`` for each sample, of shape (B,).

    t are the reference logits, which are logarithms of soft labels that need not sum to 1. A sample without labels has
    a sum of 0 and so no loss. q is the softmax of the student's logits divided by the temperature, which is always 1 in
    IDKD.
    """
    log_q_BK = (student_logits_BK / temperature).log_softmax(-1)
    return -(reference_logits_BK.exp() * log_q_BK).sum(-1)


_LOSS: Final = PairLoss(
    name="cross_entropy_of_soft_labels",
    title="cross entropy of soft labels",
    per_sample=cross_entropy_of_soft_labels,
    meaning="D is the cross entropy of the student with soft labels, and 0 for a sample without labels.",
    formula="-sum_k exp(t_k) log q_k",
    tex=r"-\sum_k e^{t_k} \log q_k",
    source="Ravikumar et al. 2023, arXiv:2304.04326",
    allows_missing_classes=True,
)

SOFT_LABELS: Final = DistillationTerm(_LOSS, {})


class SoftLabels(NamedTuple):
    """The soft labels that a neighbourhood gives to the public samples."""

    labels_SK: "Tensor"
    """The labels. They sum to 1 for a sample with labels, and to 0 for every other sample."""

    num_labelled: int
    """The number of samples with labels."""

    shares: Mapping[int, float]
    """The share of each peer in the labels, as a mean over the samples with labels. All are 0 if there is none."""


def propose(round: Round, weights: PeerWeights) -> PeerWeights:
    """Return the weights of each peer after training on its own samples and on the public samples with soft labels.

    The loss is the mean of the cross entropy over both sets together. Each step takes a batch of own samples and a
    batch of public samples. Let n be the number of a peer's own samples, m the number of public samples with labels,
    and S the number of public samples. The mean over both sets is ``n / (n + m)`` times the mean over own samples, plus
    ``m / (n + m)`` times the mean over the m samples. The second mean is ``S / m`` times the mean over all public
    samples, to which samples without labels contribute 0. The labels are therefore multiplied by ``S / m``.

    A peer whose neighbourhood gives no labels trains on its own samples alone.
    """
    predicted = round.predict(weights)
    found = for_each_neighbourhood(
        round,
        lambda peers: soft_labels(
            {peer: predicted[peer].logits_BK.softmax(-1) for peer in peers}, threshold=round.rules.confidence_threshold
        ),
    )
    taught = {peer: labels for peer, labels in found.items() if labels.num_labelled}
    round.record_shares({peer: labels.shares for peer, labels in taught.items()})
    teachings = {peer: _teaching(labels, num_own=round.num_samples[peer]) for peer, labels in taught.items()}
    alone = {peer: state for peer, state in weights.items() if peer not in taught}
    return {
        **round.train({peer: weights[peer] for peer in taught}, samples="own_and_public", teachings=teachings),
        **round.train(alone, samples="own"),
    }


def soft_labels(probabilities_SK: "Mapping[int, Tensor]", *, threshold: float) -> SoftLabels:
    """Return the mean of those predictions of each sample whose largest probability is above the threshold.

    Args:
        probabilities_SK: The predictions of each peer.
        threshold: The threshold. A sample of which no prediction is above it has no labels.
    """
    sure_S1 = [(each.amax(-1, keepdim=True) > threshold).to(each.dtype) for each in probabilities_SK.values()]
    total_S1 = sum(sure_S1[1:], sure_S1[0])
    parts_S1 = [each / total_S1.clamp(min=1) for each in sure_S1]
    first, *others = [part * each for part, each in zip(parts_S1, probabilities_SK.values(), strict=True)]
    num_labelled = int((total_S1 > 0).sum())
    shares = [float(each.sum()) / max(num_labelled, 1) for each in parts_S1]
    return SoftLabels(sum(others, first), num_labelled, dict(zip(probabilities_SK, shares, strict=True)))


def _teaching(found: SoftLabels, *, num_own: int) -> Teaching:
    scale = len(found.labels_SK) / found.num_labelled
    logits_SK = (found.labels_SK.log() + math.log(scale)).clamp(min=MISSING_CLASS_LOGIT)
    return Teaching(logits_SK, SOFT_LABELS, 1.0, found.num_labelled / (num_own + found.num_labelled))


METHOD: Final = RoundMethod(
    name="idkd",
    title="IDKD",
    propose=propose,
    sends="predictions",
    needs_public_set=True,
    joins_samples=True,
    meaning="Every peer learns from its own labels, and at the same time from soft labels of public samples. The soft "
    "labels of a sample are the mean of the confident predictions of the neighbourhood. A sample without a confident "
    "prediction is left out.",
    formula="w_i <- minimise CE over i's own samples and the public samples with labels, as one mean over all of them, "
    "from w_i; the labels of a public sample are the mean of p_j over {j in N(i): max p_j > c}",
    source="Ravikumar et al. 2023, arXiv:2304.04326, without the averaging of weights in every step to which the paper "
    "adds it; the threshold c is fixed as in their program, whereas the paper calibrates one for each peer; each peer "
    "sends all of its predictions, whereas the paper's peers send only the confident ones",
)
