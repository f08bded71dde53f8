"""The target of a student: the distribution that it imitates, made of the predictions of several networks.

In a pair, these networks are the teacher and the student's old self, which is the student's pre-trained network before
any distillation. In a round, these networks are the peers of a neighbourhood: one peer and its partners. Every target
is a weighted mean of the predictions of the networks, with weights that may differ between samples and between classes:

    target_k = sum_i w_i(k) p_i(k) / Z,    p_i = softmax(z_i / T)

Here, z_i are the logits of network i, p_i(k) is its prediction for class k, and w_i(k) is its weight. Z is the sum of
the numerator over all classes, so that the target sums to 1. A target is computed before the training and stored as
logits. The softmax of these logits, divided by T, is the target. Losses and engines therefore treat the stored logits
as the logits of a teacher, whatever the target is.

Shape suffixes: B = samples, K = classes.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from peerkd.losses.targets.trimming import trimmed_weights

if TYPE_CHECKING:
    from torch import Tensor


class Prediction(NamedTuple):
    """The predictions of one peer for a set of samples, and the number of the peer's training samples of each class."""

    logits_BK: "Tensor"
    """The logits of the peer. ``target_logits`` corrects them by the class counts if the target is prior-adjusted."""

    counts_K: "Tensor"
    """The number of the peer's training samples of each class, as floating-point numbers."""


class PairTarget(NamedTuple):
    """A target, as a function and in words.

    A formula may use the following names without defining them: t is the logits of the teacher and s the logits of the
    student's old self; p_t is the softmax of t / T and p_s the softmax of s / T; n_t(k) is the number of the teacher's
    training samples of class k, and n_s(k) the number of the student's.
    """

    name: str
    """The ``kind`` of ``distill.target`` in a config."""

    title: str
    """The name of the target in texts: a noun with its article, in lower case."""

    weigh: "Callable[[Sequence[Prediction]], Sequence[Tensor]] | None"
    """``weigh([teacher, old_self])`` returns the weights of the teacher and of the student's old self. They broadcast
    to ``BK`` and are at least 0, and for each sample and class one of them is above 0. None: the target is the
    teacher's prediction."""

    meaning: str
    """What the student imitates, in one or two sentences, for the report and the reference page."""

    formula: str
    """The target as a line of plain text."""

    tex: str
    """The formula in TeX."""

    source: str
    """The source of the target for the reference page: a paper and its section, or this project."""

    joins_any_number: bool = False
    """Whether ``weigh`` accepts the predictions of any number of peers, and treats all of them alike."""

    needs_teacher: bool = True
    """Whether the target depends on the teacher's prediction. If not, trials with this target are controls."""

    @property
    def needs_student(self) -> bool:
        """Whether the logits of the student's old self are needed."""
        return self.weigh is not None


def target_logits(
    target: PairTarget,
    teacher: Prediction,
    student: Prediction | None,
    *,
    temperature: float,
    prior_adjusted: bool = False,
) -> "Tensor":
    """Return logits ``u_BK`` with ``softmax(u / T) = target``, that is, ``u = T log target`` up to a constant.

    Args:
        target: The target.
        teacher: The teacher's prediction and class counts.
        student: The prediction and class counts of the student's old self; may be None unless
            ``target.needs_student``.
        temperature: T, above 0.
        prior_adjusted: Whether ``log(1 + n(k))`` is subtracted from the logits of each peer before anything else, where
            n(k) is the number of the peer's training samples of class k. The softmax of a peer estimates ``P(k | x)``,
            the probability of class k for the sample x. This is proportional to ``P(x | k) P(k)``, where ``P(k)`` is
            the share of class k in the peer's own data. The subtraction divides the estimate by ``P(k)``, so that the
            predictions of peers with different class distributions become comparable (Menon et al. 2021,
            arXiv:2007.07314, section 4). The 1 in ``1 + n(k)`` keeps the logarithm finite for classes of which the peer
            has no sample.

    Raises:
        ValueError: If ``target.needs_student`` and ``student`` is None.
    """
    if target.weigh is None:
        return (_adjusted(teacher) if prior_adjusted else teacher).logits_BK
    if student is None:
        raise ValueError(f"student is required by the target {target.name}, got None.")
    return joined_logits(target, [teacher, student], temperature=temperature, prior_adjusted=prior_adjusted)


def joined_logits(
    target: PairTarget,
    predictions: Sequence[Prediction],
    *,
    temperature: float,
    prior_adjusted: bool = False,
    is_aligned: bool = False,
    trimmed_fraction: float = 0.0,
) -> "Tensor":
    """Return logits ``u_BK`` with ``softmax(u / T) = target`` for the predictions of any number of peers.

    Args:
        target: A target that has a function ``weigh``. If the number of predictions is not two, ``joins_any_number`` of
            the target must be true.
        predictions: The prediction and the class counts of each peer.
        temperature: T, above 0.
        prior_adjusted: Whether the logits of each peer are corrected for the class distribution of its training
            samples, as in ``target_logits``.
        is_aligned: Whether the predictions of each peer, after the prior adjustment and at T = 1, are divided by their
            mean over all samples, and renormalised. A prediction that does not depend on the sample becomes uniform, so
            that it says nothing. This is the distribution alignment of Berthelot et al. 2020, arXiv:1911.09785, section
            3.1, with classes that are taken to be equally frequent.
        trimmed_fraction: The fraction of the sum of all weights that is cut off at either end of the predictions for a
            class, as in ``trimmed_weights``. 0: the target is the weighted mean of all predictions.

    Raises:
        ValueError: If the target has no function ``weigh``, or does not accept this number of predictions.
    """
    # log sum_i w_i p_i, without leaving the logarithms: a weight of 0 is -inf, which logaddexp ignores, because another
    # weight is above 0. log p_i is finite for all finite logits. Z is a constant of each sample, which no softmax of
    # the result depends on; subtracting it makes u / T the logarithm of the target itself.
    log_terms_BK = _log_terms(
        target,
        predictions,
        temperature=temperature,
        prior_adjusted=prior_adjusted,
        is_aligned=is_aligned,
        trimmed_fraction=trimmed_fraction,
    )
    return temperature * reduce(lambda sums_BK, each_BK: sums_BK.logaddexp(each_BK), log_terms_BK).log_softmax(-1)


def joined_shares(
    target: PairTarget,
    predictions: Sequence[Prediction],
    *,
    temperature: float,
    prior_adjusted: bool = False,
    is_aligned: bool = False,
    trimmed_fraction: float = 0.0,
) -> list[float]:
    """Return the share of each prediction in the target that ``joined_logits`` makes of them, as a mean over samples.

    For one sample x, the target is ``sum_i w_i(k) p_i(k) / Z``, where i runs over the peers, k is a class, w_i(k) is
    the weight of peer i and p_i(k) its prediction. The share of peer i is ``sum_k w_i(k) p_i(k) / Z``. The shares of
    all peers sum to 1.

    Args:
        target: A target, with the requirements of ``joined_logits``.
        predictions: The prediction and the class counts of each peer.
        temperature: T, above 0.
        prior_adjusted: Whether the logits of each peer are corrected first, as in ``joined_logits``.
        is_aligned: Whether predictions are divided by their mean, as in ``joined_logits``.
        trimmed_fraction: The fraction that is cut off at either end, as in ``joined_logits``.
    """
    log_terms_BK = _log_terms(
        target,
        predictions,
        temperature=temperature,
        prior_adjusted=prior_adjusted,
        is_aligned=is_aligned,
        trimmed_fraction=trimmed_fraction,
    )
    masses_B = [each_BK.exp().sum(-1) for each_BK in log_terms_BK]
    totals_B = reduce(lambda sums_B, each_B: sums_B + each_B, masses_B)
    return [float((mass_B / totals_B).mean()) for mass_B in masses_B]


def _log_terms(
    target: PairTarget,
    predictions: Sequence[Prediction],
    *,
    temperature: float,
    prior_adjusted: bool,
    is_aligned: bool,
    trimmed_fraction: float,
) -> "list[Tensor]":
    """Return ``log w_i p_i`` of each network, of shape BK."""
    if target.weigh is None or not (target.joins_any_number or len(predictions) == 2):
        raise ValueError(f"target must join {len(predictions)} predictions, got {target.name}.")
    if prior_adjusted:
        predictions = [_adjusted(each) for each in predictions]
    if is_aligned:
        predictions = [_aligned(each) for each in predictions]
    weights = target.weigh(predictions)
    log_p_BK = [(each.logits_BK / temperature).log_softmax(-1) for each in predictions]
    if trimmed_fraction:
        weights = trimmed_weights(weights, log_p_BK, fraction=trimmed_fraction)
    return [weight.log() + each_BK for weight, each_BK in zip(weights, log_p_BK, strict=True)]


def _adjusted(prediction: Prediction) -> Prediction:
    return prediction._replace(logits_BK=prediction.logits_BK - prediction.counts_K.log1p())


def _aligned(prediction: Prediction) -> Prediction:
    # Without the number of samples, by which the sum would be divided, because the softmax does not depend on it. The
    # logarithm of the sum is finite for all finite logits.
    log_sums_K = prediction.logits_BK.log_softmax(-1).logsumexp(0)
    return prediction._replace(logits_BK=prediction.logits_BK - log_sums_K)
