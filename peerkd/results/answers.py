"""Measurements of each peer and each ordered pair before any distillation, from the logits of all peers.

Logits come in parts, so that the logits of all samples need not be in memory at once.

Shape suffixes: P = peers, N = samples of one part, K = classes, T = temperatures, W = weights, R = ambiguous
predictions.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np

from peerkd.arrays import FloatArray, IntArray, SingleArray

TEMPERATURES: Final = (1, 2, 4, 8)
"""The temperatures at which peers are compared on training samples."""

WEIGHTS: Final = (0.1, 0.3, 0.5)
"""The weights of the second peer in the mixtures of the probabilities of two peers."""

_NUM_BINS: Final = 10


class Answers(NamedTuple):
    """The logits of every peer, or of some of the peers, for some samples."""

    logits_PNK: FloatArray | SingleArray
    """The logits. All are finite."""

    labels_N: IntArray

    peers_P: IntArray | None = None
    """The positions, among all peers, of the peers that have logits, ascending. None: all peers have logits."""


class OnValidation(NamedTuple):
    """Measures on the global validation set."""

    accuracy_P: FloatArray
    class_accuracy_PK: FloatArray
    """Accuracy of each peer on the samples of each class. NaN for a class without samples."""

    entropy_P: FloatArray
    """Mean entropy of the peer's probabilities over samples, in nats."""

    calibration_error_P: FloatArray
    """Expected calibration error of the largest probability, in 10 bins of equal width."""

    only_first_right_PP: FloatArray
    """Share of samples on which the peer of the row is right and the peer of the column is wrong."""

    agreement_PP: FloatArray
    """Share of samples for which the two peers predict the same class, right or wrong."""

    mixture_gain_WPP: FloatArray
    """Accuracy of a mixture of the probabilities of two peers, the peer of the row and the peer of the column, minus
    the accuracy of the peer of the row. Each index of the axis W stands for a weight of the peer of the column."""


class OnTrainingData(NamedTuple):
    """Measures of every peer on the training samples of every peer. They are means over samples.

    Rows are the measured peers, and columns are the owners of the samples. A value is NaN if the peer has no logits for
    the samples. Entropies and divergences are in nats.
    """

    accuracy_PP: FloatArray
    """Accuracy of the peer on the samples of the owner."""

    entropy_TPP: FloatArray
    """Entropy of the peer's probabilities."""

    divergence_to_owner_TPP: FloatArray
    """T^2 KL(peer || owner): the divergence in the loss if the owner is the student and the peer is the teacher."""

    divergence_from_owner_TPP: FloatArray
    """T^2 KL(owner || peer): the divergence in the loss if the peer is the student and the owner is the teacher."""


def on_validation(parts: Iterable[Answers]) -> OnValidation:
    """Measure all peers, and all pairs of them, on one set of samples.

    Args:
        parts: At least one part. All parts have the same peers and classes.
    """
    sums: _Sums | None = None
    for part in parts:
        more = _sums(part)
        sums = more if sums is None else _Sums(*(one + other for one, other in zip(sums, more, strict=True)))
    assert sums is not None
    num_samples = sums.num_K.sum()
    accuracy_P = sums.right_PK.sum(axis=1) / num_samples
    with np.errstate(invalid="ignore"):
        class_accuracy_PK = sums.right_PK / sums.num_K
    return OnValidation(
        accuracy_P=accuracy_P,
        class_accuracy_PK=class_accuracy_PK,
        entropy_P=sums.entropy_P / num_samples,
        calibration_error_P=np.abs(sums.overconfidence_PB).sum(axis=1) / num_samples,
        only_first_right_PP=sums.only_first_right_PP / num_samples,
        agreement_PP=sums.agreement_PP / num_samples,
        mixture_gain_WPP=sums.mixture_right_WPP / num_samples - accuracy_P[:, None],
    )


def on_training_data(parts: Iterable[Answers]) -> OnTrainingData:
    """Measure every peer on the training samples of every peer.

    The owner of the samples is the reference of the divergences.

    Args:
        parts: One item for each peer, in order. It has the logits for the training samples of this peer: those of all
            peers, or of this peer and some others.

    Returns:
        The measures. NaN for a peer without logits.
    """
    columns = [(part.peers_P, _columns(_place(owner, part), part)) for owner, part in enumerate(parts)]
    measured = zip(*(_spread(values, peers_P, num_peers=len(columns)) for peers_P, values in columns), strict=True)
    accuracy_PP, entropy_TPP, to_owner_TPP, from_owner_TPP = (np.stack(column, axis=-1) for column in measured)
    return OnTrainingData(accuracy_PP, entropy_TPP, to_owner_TPP, from_owner_TPP)


def _place(owner: int, part: Answers) -> int:
    return owner if part.peers_P is None else int(np.searchsorted(part.peers_P, owner))


def _spread(values: Iterable[FloatArray], peers_P: IntArray | None, *, num_peers: int) -> Iterator[FloatArray]:
    """Yield each array with its last axis extended from the peers in ``peers_P`` to all peers.

    The new entries are NaN.
    """
    for some in values:
        if peers_P is None:
            yield some
            continue
        of_all = np.full((*some.shape[:-1], num_peers), np.nan)
        of_all[..., peers_P] = some
        yield of_all


class _Sums(NamedTuple):
    """The sums over samples from which ``OnValidation`` is computed. B = bins of the largest probability."""

    num_K: FloatArray
    right_PK: FloatArray
    entropy_P: FloatArray
    overconfidence_PB: FloatArray
    only_first_right_PP: FloatArray
    agreement_PP: FloatArray
    mixture_right_WPP: FloatArray


def _sums(part: Answers) -> _Sums:
    num_peers, _, num_classes = part.logits_PNK.shape
    probabilities_PNK, logs_PNK = _softmax(part.logits_PNK)
    predicted_PN = probabilities_PNK.argmax(axis=2)
    right_PN = predicted_PN == part.labels_N
    # The expected calibration error (Guo et al. 2017, arXiv:1706.04599, section 2) is the sum over bins b of
    # |B_b| / n |mean confidence - accuracy|, which is |sum over the samples of b of (confidence - right)| / n.
    confidence_PN = probabilities_PNK.max(axis=2)
    bins_PN = np.minimum((confidence_PN * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    bins_PN += _NUM_BINS * np.arange(num_peers)[:, None]
    excess = (confidence_PN - right_PN).ravel()
    overconfidence = np.bincount(bins_PN.ravel(), excess, num_peers * _NUM_BINS).astype(np.float64)
    right = right_PN.astype(np.float64)
    is_class_NK = part.labels_N[:, None] == np.arange(num_classes)
    is_predicted = (predicted_PN[:, :, None] == np.arange(num_classes)).reshape(num_peers, -1).astype(np.float64)
    return _Sums(
        num_K=is_class_NK.sum(axis=0).astype(np.float64),
        right_PK=right @ is_class_NK,
        entropy_P=-(probabilities_PNK * logs_PNK).sum(axis=(1, 2)),
        overconfidence_PB=overconfidence.reshape(num_peers, _NUM_BINS),
        only_first_right_PP=right @ (1 - right).T,
        agreement_PP=is_predicted @ is_predicted.T,
        mixture_right_WPP=_mixture_right(probabilities_PNK, part.labels_N),
    )


def _mixture_right(probabilities_PNK: FloatArray, labels_N: IntArray) -> FloatArray:
    """Return the number of samples on which the mixture of two peers (row and column) is right, for each weight.

    The mixture nearly always predicts the class of one of the two peers. In the mixture, the probability of any third
    class is at most the weighted mean of the second largest probabilities of the two peers. Where a predicted class has
    more than this bound, no third class can win. Only for the other samples are the mixed probabilities of all classes
    computed.
    """
    num_peers, num_samples, _ = probabilities_PNK.shape
    places_N = np.arange(num_samples)
    predicted_PN = probabilities_PNK.argmax(axis=2)
    right_PN = predicted_PN == labels_N
    *_, second_PN, first_PN = np.moveaxis(np.partition(probabilities_PNK, (-2, -1), axis=2), 2, 0)
    right_WPP = np.empty((len(WEIGHTS), num_peers, num_peers))
    for peer, ours_NK in enumerate(probabilities_PNK):
        at_ours_PN = probabilities_PNK[:, places_N, predicted_PN[peer]]
        ours_at_theirs_PN = ours_NK[places_N, predicted_PN]
        for number, weight in enumerate(WEIGHTS):
            for_ours_PN = (1 - weight) * first_PN[peer] + weight * at_ours_PN
            for_theirs_PN = (1 - weight) * ours_at_theirs_PN + weight * first_PN
            # A third class is neither peer's first one, so it has at most the mean of the second probabilities.
            at_most_PN = (1 - weight) * second_PN[peer] + weight * second_PN
            is_right_PN = np.where(for_ours_PN > for_theirs_PN, right_PN[peer], right_PN)
            # The bound does not exclude a third class, or both classes have the same probability.
            is_open_PN = np.maximum(for_ours_PN, for_theirs_PN) <= at_most_PN
            is_open_PN |= (for_ours_PN == for_theirs_PN) & (predicted_PN[peer] != predicted_PN)
            others, places = np.nonzero(is_open_PN)
            mixed_RK = (1 - weight) * ours_NK[places] + weight * probabilities_PNK[others, places]
            is_right_PN[others, places] = mixed_RK.argmax(axis=1) == labels_N[places]
            right_WPP[number, peer] = is_right_PN.sum(axis=1)
    return right_WPP


def _columns(owner: int, part: Answers) -> tuple[FloatArray, ...]:
    """Return the column of each matrix in ``OnTrainingData`` that belongs to one owner of samples."""
    num_peers, num_samples, _ = part.logits_PNK.shape
    entropies, divergences_to, divergences_from = [], [], []
    for temperature in TEMPERATURES:
        probabilities_PNK, logs_PNK = _softmax(part.logits_PNK, temperature=temperature)
        probabilities, logs = probabilities_PNK.reshape(num_peers, -1), logs_PNK.reshape(num_peers, -1)
        entropy_P = -np.einsum("pn,pn->p", probabilities, logs) / num_samples
        cross_to_P = -(probabilities @ logs[owner]) / num_samples
        cross_from_P = -(logs @ probabilities[owner]) / num_samples
        # KL(p || q) is the cross entropy of p and q minus the entropy of p. Rounding may make it negative.
        entropies.append(entropy_P)
        divergences_to.append(temperature**2 * np.maximum(cross_to_P - entropy_P, 0))
        divergences_from.append(temperature**2 * np.maximum(cross_from_P - entropy_P[owner], 0))
    # These probabilities are those of the last temperature, and no temperature changes the predicted class.
    accuracy_P = (probabilities_PNK.argmax(axis=2) == part.labels_N).mean(axis=1)
    return accuracy_P, np.stack(entropies), np.stack(divergences_to), np.stack(divergences_from)


def _softmax(logits_PNK: FloatArray | SingleArray, *, temperature: float = 1) -> tuple[FloatArray, FloatArray]:
    """Return probabilities and their logarithms, in double precision to keep small differences."""
    if not np.isfinite(logits_PNK).all():
        raise ValueError("logits_PNK must be finite, got NaN or infinite numbers.")
    logs_PNK = logits_PNK.astype(np.float64)
    logs_PNK /= temperature
    logs_PNK -= logs_PNK.max(axis=2, keepdims=True)
    probabilities_PNK = np.exp(logs_PNK)
    totals_PN1 = probabilities_PNK.sum(axis=2, keepdims=True)
    probabilities_PNK /= totals_PN1
    logs_PNK -= np.log(totals_PN1)
    return probabilities_PNK, logs_PNK
