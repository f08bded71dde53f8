"""Basis functions of pairs, through which observations of one pair inform similar pairs.

The similarity of two pairs is a squared exponential kernel ``k`` of their features. ``K_QQ`` is the matrix of
similarities between all pairs. The Nystroem method (Williams and Seeger 2001, "Using the Nystroem method to speed up
kernel machines") approximates this matrix. It chooses A of the pairs as centres, which represent all pairs. ``K_QA``,
with the transpose ``K_AQ``, is the matrix of similarities between pairs and centres, and ``K_AA`` the matrix of
similarities between centres. ``L`` is a Cholesky factor::

    K_QQ ~ K_QA inverse(K_AA) K_AQ = Phi Phi^T   with   Phi^T = inverse(L) K_AQ,   L L^T = K_AA

The rows of ``Phi`` are the values of the basis functions at the pairs. The norm of a row is at most 1, because the
approximation never exceeds ``k(p, p) = 1``. The share of a pair's variance that the centres cannot explain is 1 minus
the squared norm.

Shape suffixes: Q = pairs, F = features, A = functions, one for each centre.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Self

import numpy as np

from peerkd.arrays import FloatArray
from peerkd.tuning.space import Space

LENGTHS: Final[Mapping[str, float]] = {
    "student_accuracy": 0.5,
    "teacher_accuracy": 0.5,
    "label_divergence": 0.2,
    "student_label_entropy": 2.0,
    "teacher_label_entropy": 1.8,
    "only_student_right": 0.2,
    "only_teacher_right": 0.4,
    "agreement": 0.8,
    "teacher_accuracy_on_student_data": 0.8,
    "student_accuracy_on_teacher_data": 1.0,
    "ensemble_gain_30": 0.15,
    "student_class_accuracy_on_teacher_classes": 1.0,
    "teacher_class_accuracy_on_student_classes": 0.7,
}
"""The default length scale of each feature: the distance over which gains change."""

MAX_CENTRES: Final = 64
_JITTER: Final = 1e-8


class PairBasis:
    """Basis functions whose products approximate the kernel between pairs from below."""

    def __init__(
        self, spaces: Sequence[Space], *, lengths: Mapping[str, float] = LENGTHS, max_centres: int = MAX_CENTRES
    ) -> None:
        """Choose the centres among the pairs of all spaces, one after another.

        The next centre is always the pair for which the approximation by the earlier centres is worst.

        Args:
            spaces: The space to tune, followed by the spaces of earlier experiments. Only features that all spaces have
                are used.
            lengths: The length scale of each feature. Features without a length scale are ignored.
            max_centres: The maximum number of centres (A).
        """
        known = [set(space.feature_names) for space in spaces]
        names = tuple(name for name in lengths if all(name in names for names in known))
        lengths_F = np.array([lengths[name] for name in names])
        scaled_QF = np.concatenate([_scaled(space, names, lengths_F) for space in spaces])
        limits_2F = np.stack([scaled_QF.min(axis=0), scaled_QF.max(axis=0)])
        self._centre(names, lengths_F, limits_2F, scaled_QF[_pivots(scaled_QF, max_centres=max_centres)])

    @classmethod
    def centred(
        cls, names: Sequence[str], *, lengths_F: FloatArray, limits_2F: FloatArray, centres_AF: FloatArray
    ) -> Self:
        """Return the basis with given centres.

        Args:
            names: The names of the features.
            lengths_F: The length scale of each feature.
            limits_2F: The minimum and the maximum of each feature, divided by its length scale. Values beyond them are
                clipped, because nothing is known about such pairs.
            centres_AF: The features of the centres, divided by their length scales. All rows must differ.
        """
        basis = cls.__new__(cls)
        basis._centre(tuple(names), lengths_F, limits_2F, centres_AF)
        return basis

    def _centre(
        self, names: tuple[str, ...], lengths_F: FloatArray, limits_2F: FloatArray, centres_AF: FloatArray
    ) -> None:
        self.names, self.lengths_F, self.limits_2F, self.centres_AF = names, lengths_F, limits_2F, centres_AF
        kernel_AA = _kernel(centres_AF, centres_AF)
        self._factor_AA = np.linalg.cholesky(kernel_AA + _JITTER * np.eye(len(centres_AF)))

    def rounded(self) -> Self:
        """Return the basis with centres rounded to half precision, so that they can be stored in few bytes."""
        return self.centred(
            self.names,
            lengths_F=self.lengths_F,
            limits_2F=self.limits_2F,
            centres_AF=self.centres_AF.astype(np.float16).astype(np.float64),
        )

    def spread(self, space: Space) -> list[int]:
        """Return indices of pairs of a space, each of which differs as much as possible from the pairs before it."""
        return _pivots(_scaled(space, self.names, self.lengths_F), max_centres=MAX_CENTRES)

    def values(self, space: Space) -> FloatArray:
        """Return an array of shape (Q, A) with the values of the A basis functions for each of the Q pairs of a space.

        The norm of each row is at most 1.
        """
        scaled_QF = np.clip(_scaled(space, self.names, self.lengths_F), *self.limits_2F)
        kernel_QA = _kernel(scaled_QF, self.centres_AF)
        return np.linalg.solve(self._factor_AA, kernel_QA.T).T


def _scaled(space: Space, names: Sequence[str], lengths_F: FloatArray) -> FloatArray:
    places = [space.feature_names.index(name) for name in names]
    scaled_QF: FloatArray = space.features_QF[:, places] / lengths_F
    return scaled_QF


def _kernel(first_QF: FloatArray, second_QF: FloatArray) -> FloatArray:
    squared = (first_QF**2).sum(1)[:, None] + (second_QF**2).sum(1)[None, :] - 2 * first_QF @ second_QF.T
    kernel: FloatArray = np.exp(-np.maximum(squared, 0) / 2)
    return kernel


def _pivots(scaled_QF: FloatArray, *, max_centres: int) -> list[int]:
    """Return the pivots of a Cholesky factorisation of the kernel with complete pivoting.

    Each pivot is the pair with the largest residual variance ``left_Q``, which is the diagonal of the kernel minus the
    diagonal of the approximation so far (Harbrecht, Peters and Schneider 2012, "On the low-rank approximation by the
    pivoted Cholesky decomposition"). The factorisation ends early if all pairs resemble the pivots.
    """
    num_pairs = len(scaled_QF)
    left_Q, rows_AQ = np.ones(num_pairs), np.zeros((0, num_pairs))
    pivots: list[int] = []
    while len(pivots) < min(max_centres, num_pairs) and left_Q.max() > 1e-3:
        pivot = int(left_Q.argmax())
        row_Q = _kernel(scaled_QF[pivot : pivot + 1], scaled_QF)[0] - rows_AQ[:, pivot] @ rows_AQ
        rows_AQ = np.vstack([rows_AQ, row_Q / np.sqrt(left_Q[pivot])])
        left_Q = np.maximum(left_Q - rows_AQ[-1] ** 2, 0)
        left_Q[pivot] = 0
        pivots.append(pivot)
    return pivots
