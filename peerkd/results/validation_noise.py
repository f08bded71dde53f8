"""The sampling noise of gains on validation: how much a gain would vary if other samples were drawn.

A validation set is a sample. The gains of two trials of one student are measured on the same samples, so much of their
noise is common to both. The noise of their difference follows from the samples on which they disagree, as in the test
of McNemar (1947).

Shape suffixes: N = trials of one student, M = samples of the global validation set, with the padding of the last byte,
K = classes. All arrays may have further axes before that of the trials, for groups of equally many trials.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from peerkd.arrays import FloatArray, IntArray
from peerkd.results.schema import CORRECT_BITS
from peerkd.study.objective import Objective
from peerkd.study.splits import SCOPES, NumSamples

_CLASS_ACCURACIES: Final = ("validation_class_accuracy_before", "validation_class_accuracy_after")

COLUMNS: Final = (
    *(f"validation_{scope}_accuracy_{moment}" for scope in SCOPES for moment in ("before", "after")),
    *("validation_positive_flips", "validation_negative_flips", CORRECT_BITS["validation"], *_CLASS_ACCURACIES),
)
"""The columns of trials from which the noise is computed."""

Columns = Mapping[str, Sequence[Any] | NDArray[Any] | None]
"""The values of ``COLUMNS`` for N trials.

The bits of a trial record on which samples the student is right. They are given as bytes or as hexadecimal text, or for
all trials together as an array of numbers from 0 to 255, whose last axis has the bytes of one trial. If some trial has
no bits, the whole column may be None.
"""


def gain_covariance(
    columns: Columns, objective: Objective, *, validation: NumSamples, wanted: NumSamples | None = None
) -> FloatArray:
    """Return the covariance of the gains of trials of one student, of shape (N, N), in squared fractions.

    Args:
        columns: The columns of trials that did not diverge.
        objective: The accuracies whose mean is the gain. A limit on forgetting adds no noise.
        validation: The sizes of the validation sets.
        wanted: The sizes of the sets for which the noise is computed, such as the test sets. None means the validation
            sets.
    """
    (covariance_NN,) = gain_covariances(columns, objective, validation=validation, wanted=(wanted or validation,))
    return covariance_NN


def gain_covariances(
    columns: Columns, objective: Objective, *, validation: NumSamples, wanted: Sequence[NumSamples]
) -> list[FloatArray]:
    """Return the result of ``gain_covariance`` for each item of ``wanted``."""
    weights = {"global": 1 - objective.own_weight, "own": objective.own_weight}
    on_one_sample = {"global": lambda: _on_global_set(columns, validation), "own": lambda: _on_own_set(columns)}
    of_scopes = {scope: on_one_sample[scope]() for scope, weight in weights.items() if weight}
    covariances = []
    for sizes in wanted:
        num = {"global": sizes.global_set, "own": sizes.own_set}
        parts = [weights[scope] ** 2 * (of_scope / num[scope]) for scope, of_scope in of_scopes.items()]
        # The sets may have samples in common. For any two variables, Var(x + y) is at most 2 Var(x) + 2 Var(y).
        covariances.append(np.asarray(len(parts) * sum(parts)))
    return covariances


def _on_global_set(columns: Columns, validation: NumSamples) -> FloatArray:
    """Return the covariance of the gains on a single sample of the global validation set, of shape (N, N)."""
    num_samples = validation.global_set
    after_N, before_N, positive_N, negative_N = (
        np.asarray(columns[f"validation_{name}"], dtype=np.float64)
        for name in ("global_accuracy_after", "global_accuracy_before", "positive_flips", "negative_flips")
    )
    before_variance_N = before_N * (1 - before_N)
    change_variance_N = positive_N + negative_N - (after_N - before_N) ** 2
    # Two networks that agree on every sample may still disagree on others. As Agresti and Min (2005, Statistics in
    # Medicine 24:729) propose, half a sample is added to each of the two kinds of disagreement of any two networks,
    # which adds 1 / M to the variance of their difference: a half from each of the two.
    one_NN = np.eye(after_N.shape[-1])
    unseen_NN = (one_NN + 1) / (2 * num_samples)
    bits = columns[CORRECT_BITS["validation"]]
    bytes_N = bits if isinstance(bits, np.ndarray) and bits.dtype == np.uint8 else packed_bits(bits)
    if bytes_N is None:
        # A table from before the bits were recorded does not show how much of the changes two trials have in common.
        return np.asarray(one_NN * change_variance_N[..., None] + unseen_NN)
    # Let a_s be 1 if a sample is right after trial s, else 0, and b the same before. The gain of s is the mean of
    # a_s - b, so
    #     Cov(a_s - b, a_t - b) = Cov(a_s, a_t) - Cov(a_s, b) - Cov(a_t, b) + Var(b).
    # No column has b, but the flips of s are the mean of (a_s - b)^2, so they give Var(a_s - b), and
    #     2 Cov(a_s, b) = Var(a_s) + Var(b) - Var(a_s - b).
    right_NM = _unpacked(bytes_N)
    num_both_right_NN = (right_NM @ right_NM.swapaxes(-1, -2)).astype(np.float64)
    answers_NN = num_both_right_NN / num_samples - after_N[..., :, None] * after_N[..., None, :]
    own_variance_N = answers_NN.diagonal(axis1=-2, axis2=-1)
    with_before_N = (own_variance_N + before_variance_N - change_variance_N) / 2
    covariance_NN: FloatArray = (
        answers_NN - with_before_N[..., :, None] - with_before_N[..., None, :] + before_variance_N[..., None, :]
    )
    if validation.class_counts is not None:
        covariance_NN = _within_classes(covariance_NN, columns, np.array(validation.class_counts))
    return covariance_NN + unseen_NN


def _within_classes(covariance_NN: FloatArray, columns: Columns, counts_K: IntArray) -> FloatArray:
    """Return the part of a covariance that remains if every set has the same number of samples of each class.

    A peer with few classes gains much in some classes and loses in others. In a set with given proportions of the
    classes, this difference between classes adds no noise to the mean gain over all samples.

    Let x_s be the gain of trial s on a single sample, w_k the share of class k in the set, and m_sk the mean gain of
    trial s in class k. The mean gain of trial s is m_s = sum_k w_k m_sk. The law of total covariance for two trials s
    and t is

        Cov(x_s, x_t) = sum_k w_k Cov(x_s, x_t | k) + sum_k w_k (m_sk - m_s) (m_tk - m_t).

    The first sum is the covariance within classes, and the second sum is the covariance between them. Only the first
    sum is noise if the proportions are given (Cochran 1977, Sampling Techniques, section 5.3). The first sum is
    computed as the left side minus the second sum. The means m_sk are computed from the same n samples in K classes, so
    this difference is too small by the factor (n - K) / n, as in an analysis of variance. The function therefore
    returns the difference divided by this factor.

    Args:
        covariance_NN: The left side, for all trials.
        columns: The columns of the trials.
        counts_K: The number of samples of each class.
    """
    num_samples, num_classes = int(counts_K.sum()), int(np.count_nonzero(counts_K))
    # A class without samples has no accuracy, and no weight.
    before_NK, after_NK = (np.nan_to_num(np.array(columns[name], dtype=np.float64)) for name in _CLASS_ACCURACIES)
    gains_NK = after_NK - before_NK
    shares_K = counts_K / num_samples
    deviations_NK = gains_NK - (gains_NK @ shares_K)[..., None]
    within_NN: FloatArray = covariance_NN - (deviations_NK * shares_K) @ deviations_NK.swapaxes(-1, -2)
    return within_NN * (num_samples / max(num_samples - num_classes, 1))


def _on_own_set(columns: Columns) -> FloatArray:
    """Return the covariance of the gains on a single sample of the student's own validation set, of shape (N, N).

    The table does not record on which samples of this set a student is right, so the predictions of any two networks
    are treated as independent. Networks that start from the same weights agree more often than independent ones, so the
    true noise of their difference is smaller.
    """
    before_N, after_N = (
        np.asarray(columns[f"validation_own_accuracy_{moment}"], dtype=np.float64) for moment in ("before", "after")
    )
    one_NN = np.eye(after_N.shape[-1])
    after_variance_N, before_variance_N = after_N * (1 - after_N), before_N * (1 - before_N)
    return np.asarray(one_NN * after_variance_N[..., None] + before_variance_N[..., None, :])


def packed_bits(
    bits_of_trials: Sequence[bytes | str | None] | NDArray[Any] | None,
) -> NDArray[np.uint8] | None:
    """Return bits as an array of bytes, with one row for each trial. None if any trial has no bits."""
    if bits_of_trials is None:
        return None
    packed = [bytes.fromhex(bits) if isinstance(bits, str) else bits for bits in bits_of_trials if bits is not None]
    if len(packed) < len(bits_of_trials):
        return None
    return np.frombuffer(b"".join(packed), dtype=np.uint8).reshape(len(packed), len(packed[0]) if packed else 0)


def _unpacked(bytes_N: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return 1 for each sample on which a trial is right, else 0, as an array of shape (..., N, M).

    Sums of products of these numbers are exact, because float32 has all integers up to 2^24.
    """
    return np.unpackbits(bytes_N, axis=-1).astype(np.float32)
