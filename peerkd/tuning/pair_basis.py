"""Functions of pairs that a model across pairs is made of: similar pairs have similar values.

A radial kernel on the features of pairs, by its projection on some of the pairs (Williams and Seeger 2001,
"Using the Nystroem method to speed up kernel machines").

Shape suffixes: Q = pairs, F = features, A = functions.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Self

import numpy as np

from peerkd.results.arrays import FloatArray
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
"""Distance in each feature over which gains change, where nothing says otherwise."""

MAX_CENTRES: Final = 64
_JITTER: Final = 1e-8


class PairBasis:
    """Functions whose products approximate the kernel between pairs, from below."""

    def __init__(
        self, spaces: Sequence[Space], *, lengths: Mapping[str, float] = LENGTHS, max_centres: int = MAX_CENTRES
    ) -> None:
        """Choose the centres among the pairs of all spaces, one after the other where the approximation is worst.

        Args:
            spaces: The space to tune first, then those of earlier experiments; features that one lacks are left out.
            lengths: Distance in each feature over which gains change; other features are not looked at.
            max_centres: A.
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
        """Return the functions with centres that were chosen before.

        Args:
            names: Of features.
            lengths_F: As ``lengths`` has them.
            limits_2F: The least and the largest of each feature, divided by their lengths. What lies beyond is taken
                for the nearest of the two: nothing is known of what it would be like.
            centres_AF: Features divided by their lengths, no two rows the same.
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
        """Return the functions with centres that few digits can tell."""
        return self.centred(
            self.names,
            lengths_F=self.lengths_F,
            limits_2F=self.limits_2F,
            centres_AF=self.centres_AF.astype(np.float16).astype(np.float64),
        )

    def spread(self, space: Space) -> list[int]:
        """Return places of pairs of a space, the most different ones first."""
        return _pivots(_scaled(space, self.names, self.lengths_F), max_centres=MAX_CENTRES)

    def values(self, space: Space) -> FloatArray:
        """Return the functions at each pair of a space: (Q, A), no row longer than 1."""
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
    """Return the places of a pivoted Cholesky factorisation of the kernel: it ends early where pairs are alike."""
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
