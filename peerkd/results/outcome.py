"""The effect of one training on one student, from its predictions before and after.

Shape suffixes: N = evaluation samples, K = classes.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from peerkd.arrays import FloatArray
from peerkd.study.objective import Objective

_Classes = npt.NDArray[np.int64]

NO_ANSWER: Final = -1
"""The prediction for a sample whose logits are not all finite: the network predicts no class for it."""


def accuracy(labels_N: _Classes, predictions_N: _Classes) -> float | None:
    """Return the share of right predictions, or None if a prediction is ``NO_ANSWER``."""
    if (predictions_N == NO_ANSWER).any():
        return None
    return float(np.mean(labels_N == predictions_N))


def gains(columns: Mapping[str, Any], objective: Objective, *, split: str) -> dict[str, FloatArray]:
    """Return the gains of trials on a split, for each scope of an objective; NaN if a trial diverged.

    Args:
        columns: The columns of the accuracies before and after, by name, each with one value for each trial.
        objective: The objective, which may depend on global accuracy, own accuracy or both.
        split: ``validation`` or ``test``.
    """

    def accuracies(name: str) -> FloatArray:
        return np.asarray(columns[name], dtype=np.float64)

    return {
        scope: accuracies(f"{split}_{scope}_accuracy_after") - accuracies(f"{split}_{scope}_accuracy_before")
        for scope in objective.scopes
    }


def class_accuracies(labels_N: _Classes, predictions_N: _Classes, *, num_classes: int) -> list[float | None]:
    """Return the share of right predictions in each class, None for a class without samples."""
    totals_K = np.bincount(labels_N, minlength=num_classes)
    rights_K = np.bincount(labels_N[labels_N == predictions_N], minlength=num_classes)
    return [float(right / total) if total else None for right, total in zip(rights_K, totals_K, strict=True)]


def compare(
    split: str,
    *,
    labels_N: _Classes,
    before_N: _Classes,
    after_N: _Classes | None,
    global_positions: _Classes,
    own_positions: _Classes,
    num_classes: int,
) -> dict[str, Any]:
    """Return the columns of the table of trials, except the gains, that follow from the predictions on one split.

    Args:
        split: ``validation`` or ``test``, the prefix of the columns.
        labels_N: True classes of the evaluation samples.
        before_N: Predictions of the pre-trained student.
        after_N: Predictions of the student after the trial. None if the trial diverged: then every value that
            depends on them is None.
        global_positions: Positions in 0..N-1 of the samples of the global set.
        own_positions: Positions of the samples with the student's own class distribution.
        num_classes: The number of classes, K.
    """
    columns: dict[str, Any] = {"positive_flips": None, "negative_flips": None, "correct_bits": None}
    for moment, predictions_N in (("before", before_N), ("after", after_N)):
        for scope, positions in (("global", global_positions), ("own", own_positions)):
            columns[f"{scope}_accuracy_{moment}"] = (
                None if predictions_N is None else accuracy(labels_N[positions], predictions_N[positions])
            )
        columns[f"class_accuracy_{moment}"] = (
            None
            if predictions_N is None
            else class_accuracies(labels_N[global_positions], predictions_N[global_positions], num_classes=num_classes)
        )
    if after_N is not None:
        right_before, right_after = (before_N == labels_N)[global_positions], (after_N == labels_N)[global_positions]
        columns["positive_flips"] = float(np.mean(~right_before & right_after))
        columns["negative_flips"] = float(np.mean(right_before & ~right_after))
        columns["correct_bits"] = np.packbits(right_after).tobytes().hex()
    return {f"{split}_{name}": value for name, value in columns.items()}
